/** Commands on a terminal, as a person has one. */

const MAIN = new URL("../../cli/main.ts", import.meta.url).pathname;

/** Longest wait for one text, milliseconds. */
const LATE_MS = 60_000;

/** A `nyx` on a terminal of its own (util-linux's script), driven by what is written to its keyboard. */
export async function onTerminal(
  socket: string,
  command: string,
  drive: (terminal: { until: (text: string) => Promise<void>; type: (text: string) => Promise<void> }) => Promise<void>,
): Promise<{ code: number; screen: string }> {
  const nyx = `"${Deno.execPath()}" run -A --quiet "${MAIN}"`;
  const child = new Deno.Command("script", {
    args: [
      "-qefc",
      `stty rows 30 cols 100; ${
        command.replace("nyx", nyx)
      }; code=$?; stty -a | grep -q -- -icanon && echo RAW; exit $code`,
      "/dev/null",
    ],
    env: { NYXD_SOCKET: socket, NO_COLOR: "1", TERM: "xterm", HOME: "/nonexistent", SHELL: "/bin/sh" },
    stdin: "piped",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  let screen = "";
  const reader = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const writer = child.stdin.getWriter();
  await drive({
    async until(text) {
      // Whoever waits for what never comes is told what did.
      const late = setTimeout(() => child.kill("SIGTERM"), LATE_MS);
      try {
        while (!screen.includes(text)) {
          const { value, done } = await reader.read();
          if (done) throw new Error(`The terminal ended before ${JSON.stringify(text)}: ${JSON.stringify(screen)}`);
          screen += value;
        }
      } finally {
        clearTimeout(late);
      }
    },
    type: (text) => writer.write(new TextEncoder().encode(text)),
  });
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) screen += piece.value;
  await writer.close().catch(() => {});
  return { code: (await child.status).code, screen };
}
