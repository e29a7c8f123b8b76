/**
 * `deno task install [--prefix DIR] [--no-bundle]`: puts `nyx` and `nyxd` into DIR (default /usr/local/bin). Run it again after moving the
 * source or the deno binary.
 */

import { install } from "../cli/install.ts";
import { nyxdPermissions } from "../daemon/permissions.ts";

const root = new URL("..", import.meta.url).pathname.replace(/\/$/, "");
const at = Deno.args.indexOf("--prefix");
const inline = Deno.args.find((arg) => arg.startsWith("--prefix="))?.slice("--prefix=".length);
const binDir = inline ?? (at < 0 ? undefined : Deno.args[at + 1]) ?? "/usr/local/bin";
const paths = {
  baseDir: "$base",
  socket: "$run/nyxd.sock",
  crun: "$crun",
  sourceDir: root,
  extraRead: ["$init", "$resolv"],
};
try {
  await install({
    binDir,
    root,
    bundle: !Deno.args.includes("--no-bundle"),
    nyxdFlags: nyxdPermissions(paths).map(({ flag }) => flag),
    onStep: (text) => console.log(text),
  });
} catch (e) {
  console.error(`install: ${e instanceof Error ? e.message : e}`);
  Deno.exit(1);
}
