/** Tries things inside a worker that holds given permissions, as somebody would who has taken a worker of nyxd over. */

/** What an attempt that nothing stopped gives. */
export const DONE = "done";

/**
 * Runs pieces of code, each by itself, in one worker with these permissions.
 *
 * @param attempts code by name; it may await
 * @param prelude code in front of all
 * @returns by name {@linkcode DONE}, or the name of what was thrown, with its code where it has one: `Error ERR_ACCESS_DENIED`
 */
export async function tryConfined(
  permissions: Deno.PermissionOptions,
  attempts: Record<string, string>,
  prelude = "",
): Promise<Record<string, string>> {
  const cases = Object.entries(attempts).map(([name, code]) =>
    `try { await (async () => { ${code} })(); out[${JSON.stringify(name)}] = ${JSON.stringify(DONE)}; }
     catch (e) { out[${JSON.stringify(name)}] = e.name + (e.code ? " " + e.code : ""); }`
  );
  const source = `const out = {}; ${prelude}\n${cases.join("\n")} postMessage(out);`;
  const worker = new Worker(`data:text/javascript,${encodeURIComponent(source)}`, {
    type: "module",
    deno: { permissions },
  });
  try {
    return await new Promise((resolve, reject) => {
      worker.onmessage = (e) => resolve(e.data);
      worker.onerror = (e) => {
        e.preventDefault();
        reject(new Error(e.message));
      };
    });
  } finally {
    worker.terminate();
  }
}

/** Names of the attempts that nothing stopped. */
export function done(results: Record<string, string>): string[] {
  return Object.keys(results).filter((name) => results[name] === DONE);
}
