import assert from "node:assert/strict";
import { ByteSender } from "../../workers/channel.ts";
import { EventBus } from "../events/bus.ts";
import { Logger } from "../log/logger.ts";
import { type ContainerRecord, RECORD_VERSION } from "../persist/record.ts";
import type { SupervisorDeps } from "./deps.ts";
import { Supervisor } from "./supervisor.ts";

const ID = "ab".repeat(32);

/** A running container with two pre-stop commands: the first ends by itself, the second only when it is killed. */
function record(): ContainerRecord {
  return {
    v: RECORD_VERSION,
    id: ID,
    name: "web",
    created: "2026-01-01T00:00:00.000000000Z",
    spec: { image: "x", networkMode: "none", preStop: [{ argv: ["first"] }, { argv: ["second"] }] },
    image: { ref: "x", id: "sha256:1", manifestDigest: "sha256:2", layers: [], exec: {} },
    hostname: "h",
    mounts: [],
    ports: [],
    bundleDir: "/nowhere",
    rootFS: "",
    argv: [],
    stopSignal: "TERM",
    warnings: [],
    state: { status: "running", pid: 7, oomKilled: false, restartCount: 0, attempts: 0, stoppedByUser: false },
  };
}

/** Fields of the requests that the fake workers look at. */
interface Request {
  id: string;
  execId: string;
  signal: string;
  argv: string[];
  process: { args: string[] };
  port: MessagePort;
}

/** A supervisor whose workers are fakes: `said` tells what was run and killed. */
function supervised(): { supervisor: Supervisor; said: string[]; lines: string[] } {
  const said: string[] = [];
  const lines: string[] = [];
  const execs = new Map<string, () => void>();
  const log = new Logger("debug", { write: (b) => lines.push(new TextDecoder().decode(b)) });
  const call = async (op: string, request: Request): Promise<unknown> => {
    if (op === "mount") return { files: {} };
    if (op === "execProcess") return { process: { args: request.argv } };
    if (op === "exec") {
      said.push(`run ${request.process.args[0]}`);
      const sender = new ByteSender(request.port);
      const first = request.process.args[0] === "first";
      await new Promise<void>((resolve) => first ? setTimeout(resolve, 50) : execs.set(request.execId, resolve));
      sender.end();
      return { exit: { code: first ? 0 : 137, finishedAt: "2026-01-01T00:00:01Z", oomKilled: false } };
    }
    if (op !== "kill") return {};
    said.push(`${request.signal} ${request.id === ID ? "container" : "command"}`);
    execs.get(request.id)?.();
    if (request.id === ID) {
      const exit = { code: 0, finishedAt: "2026-01-01T00:00:01Z", oomKilled: false };
      supervisor.onStreams({ kind: "exit", id: ID, exit });
    }
    return {};
  };
  const stage = { call, available: () => Promise.resolve() };
  const deps = {
    baseDir: "/nowhere",
    stages: { rootfs: stage, bundle: stage, network: stage, streams: stage },
    store: { save: () => Promise.resolve(), flush: () => Promise.resolve() },
    volumes: { unmountIdle: () => Promise.resolve([]) },
    dns: { deregister: () => {} },
    events: new EventBus(),
    host: { capabilities: [] },
    defaults: { stopTimeoutS: 10, network: "nyx" },
    log,
  } as unknown as SupervisorDeps;
  const supervisor: Supervisor = new Supervisor(deps);
  return { supervisor, said, lines };
}

Deno.test("Supervisor.stopAll: its budget is for pre-stop commands too, all together, and the container is then stopped", async () => {
  const { supervisor, said, lines } = supervised();
  supervisor.admit(record());
  const beganMs = performance.now();
  await supervisor.stopAll(0.2);
  const tookMs = performance.now() - beganMs;
  await supervisor.settled();
  assert.ok(tookMs >= 190 && tookMs < 5000, `${tookMs} ms`);
  assert.deepEqual(said, ["run first", "run second", "KILL command", "TERM container"]);
  assert.equal(supervisor.find(ID).status, "exited");
  assert.ok(lines.some((l) => /pre-stop command .*second.* did not end within/.test(l)));
});
