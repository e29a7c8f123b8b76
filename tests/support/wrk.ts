/** Load on an HTTP server by wrk, which tells every connection that was refused or cut and every answer that is no success. */

/** Sends requests until the result is called; that answers with how many were answered, and with what failed. */
export function startLoad(url: string): () => Promise<{ requests: number; errors: string[] }> {
  const child = new Deno.Command("wrk", {
    args: ["-t1", "-c8", "-d120s", "--timeout", "10s", url],
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const output = child.output();
  return async () => {
    child.kill("SIGINT");
    const text = new TextDecoder().decode((await output).stdout);
    const errors = text.split("\n").filter((line) => /Socket errors|Non-2xx/.test(line)).map((line) => line.trim());
    return { requests: Number(/(\d+) requests in/.exec(text)?.[1] ?? 0), errors };
  };
}
