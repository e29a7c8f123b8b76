/**
 * Program: a daemon's main thread reduced to the network worker. Reads requests as lines of JSON from stdin and answers on
 * stdout; the worker runs under the permissions that the daemon gives it.
 *
 * Arguments: base directory; for the CNI backend the directory of plugins and that of configuration.
 */

import { toErrorData } from "../../daemon/spec/errors.ts";
import { WorkerHost } from "../../workers/host.ts";
import { cniPermissions, pluginsIn } from "../../workers/cni/permissions.ts";
import { networkPermissions } from "../../workers/network/permissions.ts";
import type { NetworkStage } from "../../workers/protocol.ts";

const [baseDir = "", binDir, confDir = ""] = Deno.args;
const native = new URL("../../workers/network/main.ts", import.meta.url);
const cni = new URL("../../workers/cni/main.ts", import.meta.url);
const permissions = binDir === undefined
  ? networkPermissions(baseDir)
  : cniPermissions(baseDir, { binDir, confDir, plugins: pluginsIn(binDir) });

const encoder = new TextEncoder();

function say(value: unknown): void {
  Deno.stdout.writeSync(encoder.encode(`${JSON.stringify(value)}\n`));
}

const host = new WorkerHost<NetworkStage>({
  name: "network",
  start: () =>
    new Worker(binDir === undefined ? native : cni, {
      type: "module",
      deno: { permissions },
    }),
  onEvent: (event) => say({ event }),
  onLog: (level, msg, fields) => {
    if (level !== "debug" && Deno.env.get("NYX_TEST_LOG") === "1") console.error(level, msg, JSON.stringify(fields));
  },
});

let rest = "";
const open = new Set<Promise<void>>();
for await (const text of Deno.stdin.readable.pipeThrough(new TextDecoderStream())) {
  const lines = (rest + text).split("\n");
  rest = lines.pop() ?? "";
  for (const line of lines) {
    const { id, op, payload } = JSON.parse(line);
    const answer = host.call(op, payload).then(
      (result) => ({ id, result }),
      (e) => ({ id, error: toErrorData(e) }),
    ).then(say);
    open.add(answer);
    answer.finally(() => open.delete(answer));
  }
}
await Promise.all(open);
host.terminate();
