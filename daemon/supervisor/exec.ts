/** Runs a process inside a running container. */

import type { Attachment } from "../control/services.ts";
import type { ExecRequest } from "../spec/api.ts";
import { NyxError } from "../spec/errors.ts";
import type { ExitStatus } from "../../workers/protocol.ts";
import { attachment, consoleSize, following, inputOf, outputChannel } from "./attachments.ts";
import { untilAvailable } from "./available.ts";
import type { Container } from "./container.ts";
import type { SupervisorDeps } from "./deps.ts";
import { randomId } from "./names.ts";

/** The OCI process object of a request, with users looked up in the container's files as they are now. */
async function processOf(
  container: Container,
  request: ExecRequest,
  deps: SupervisorDeps,
): Promise<Record<string, unknown>> {
  const { record } = container;
  const { files } = await untilAvailable(() =>
    deps.stages.rootfs.call("mount", {
      id: record.id,
      baseDir: deps.baseDir,
      layers: record.image.layers,
      volatile: record.spec.autoRemove === true,
      ensureDirs: [],
      readFiles: ["/etc/passwd", "/etc/group"],
    })
  );
  const passwd = files["/etc/passwd"];
  const group = files["/etc/group"];
  const size = consoleSize(request);
  const { process } = await untilAvailable(() =>
    deps.stages.bundle.call("execProcess", {
      bundleDir: record.bundleDir,
      argv: request.argv,
      tty: request.tty === true,
      env: request.env ?? [],
      ...(request.user === undefined ? {} : { user: request.user }),
      ...(request.workingDir === undefined ? {} : { workingDir: request.workingDir }),
      privileged: request.privileged === true,
      hostCapabilities: deps.host.capabilities,
      ...(passwd === undefined ? {} : { passwd }),
      ...(group === undefined ? {} : { group }),
      ...(size === undefined ? {} : { consoleSize: size }),
    })
  );
  return process;
}

/**
 * Starts the process; with `detach` it resolves when it runs, else at once with an attachment whose `exit` tells the end.
 *
 * @throws NyxError failed_precondition when the container does not run or is paused
 */
export async function runExec(
  container: Container,
  request: ExecRequest,
  deps: SupervisorDeps,
): Promise<{ execId: string; pid?: number; attachment?: Attachment }> {
  if (container.status !== "running") {
    const fix = container.status === "paused" ? "unpause it first" : "start it first";
    throw new NyxError(
      "failed_precondition",
      `Could not run ${
        JSON.stringify(request.argv[0])
      } in container "${container.name}": it is ${container.status}; ${fix}`,
    );
  }
  const { streams } = deps.stages;
  const execId = randomId();
  const process = await processOf(container, request, deps);
  await streams.available();
  const size = consoleSize(request);
  const common = {
    id: container.id,
    execId,
    process,
    tty: request.tty === true,
    stdin: request.stdin === true,
    ...(size === undefined ? {} : { consoleSize: size }),
  };
  container.emit("exec_create", { execId });
  if (request.detach === true) {
    const { pid } = await streams.call("exec", { ...common, detach: true });
    return { execId, pid };
  }
  const channel = outputChannel();
  const operation = streams.call("exec", { ...common, detach: false, port: channel.port }, {
    transfer: [channel.port],
  });
  const exit: Promise<ExitStatus | undefined> = operation.then((r) => {
    container.emit("exec_die", { execId, exitCode: String(r.exit?.code ?? 0) });
    return r.exit;
  });
  const kill = (signal: string) => streams.call("kill", { id: execId, signal, all: false });
  const input = inputOf(streams, execId, kill);
  const wants = request.stdin === true || request.tty === true;
  return {
    execId,
    attachment: attachment(channel, following(channel, operation), exit, async (i) => {
      if (wants || i.kind === "signal") await input(i);
    }),
  };
}
