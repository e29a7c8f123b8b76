/** Entry point of `nyx`. `--version` imports nothing but constants; all else is loaded when it is needed. */

import { versionText } from "../daemon/spec/version.ts";

const [first] = Deno.args;
if (Deno.args.length === 1 && (first === "--version" || first === "-v")) {
  Deno.stdout.writeSync(new TextEncoder().encode(`nyx version ${versionText()}\n`));
} else {
  const { dispatch } = await import("./dispatch.ts");
  // Pending reads of standard input would keep the process alive; everything written was awaited.
  Deno.exit(await dispatch(Deno.args));
}
