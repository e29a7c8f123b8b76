/**
 * A process that owns a streams worker, to be killed with SIGKILL: `deno run -A streams_owner.ts <baseDir> <launch spec JSON>`.
 * Prints `ready`, launches or adopts, prints the pid, then stays.
 */

import { WorkerHost } from "../../workers/host.ts";
import type { StreamsStage } from "../../workers/protocol.ts";
import { cgroupLayout } from "./streams_fixture.ts";

const [baseDir = "", spec = "{}"] = Deno.args;
const host = new WorkerHost<StreamsStage>({
  name: "streams",
  start: () => new Worker(new URL("../../workers/streams/main.ts", import.meta.url), { type: "module" }),
  onLog: (_level, msg, fields) => console.error(msg, fields),
});
await host.ready;
await host.call("init", {
  baseDir,
  crunPath: "/usr/bin/crun",
  crunRoot: `${baseDir}/run/crun`,
  cgroup: cgroupLayout(),
  logDefaults: { driver: "json", maxSizeBytes: 1 << 20, maxFile: 1000, maxAgeMs: 0, compress: false, mode: "block" },
});
const request: StreamsStage["ops"]["launch"]["request"] | StreamsStage["ops"]["adopt"]["request"] = JSON.parse(spec);
console.log("ready");
const adopted = await host.call("adopt", request);
const pid = adopted.state === "running"
  ? adopted.pid
  : adopted.state === "gone"
  ? (await host.call("launch", request)).pid
  : 0;
console.log(pid);
setInterval(() => {}, 60_000);
