/** The OCI process object of `exec`: the container's own, with what the exec asks for in its place. */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import type { BundleStage } from "../protocol.ts";
import { ALL_CAPABILITIES, capabilitySets } from "./capabilities.ts";
import { resolveCwd, resolveEnv } from "./process.ts";
import type { OciProcess, RuntimeSpec } from "./runtime_spec.ts";
import { resolveUser } from "./user.ts";

/** Request of the execProcess operation. */
export type ExecProcessRequest = BundleStage["ops"]["execProcess"]["request"];

/**
 * Above this, JSON.parse has rounded RLIM_INFINITY up to 2^64, which no runtime reads. What takes its place prints below
 * RLIM_INFINITY and survives structured clone and JSON.stringify, unlike a bigint.
 */
const PRACTICALLY_UNLIMITED = 2 ** 64 - 2048;

/** Limit as a number that the runtime can read back. */
function readable(limit: number | bigint): number {
  return Math.min(Number(limit), PRACTICALLY_UNLIMITED);
}

/**
 * Builds the process object.
 *
 * @param spec the running container's config.json
 * @param request what to run and as whom
 * @throws NyxError invalid_argument for an empty argv, a bad variable, an unknown user
 */
export function buildExecProcess(spec: Pick<RuntimeSpec, "process">, request: ExecProcessRequest): OciProcess {
  const base = spec.process;
  if (request.argv.length === 0 || request.argv[0] === "") {
    throw new NyxError("invalid_argument", "Could not exec: no command was given; name one after the container", {
      context: { field: "argv", value: "" },
    });
  }
  for (const arg of request.argv) if (arg.includes("\0")) throw invalid("argv", arg, "an argument cannot hold a NUL");
  const sameUser = request.user === undefined || request.user === "";
  const resolved = sameUser ? undefined : resolveUser(request.user ?? "", request.passwd, request.group);
  const user = resolved === undefined ? base.user : {
    uid: resolved.uid,
    gid: resolved.gid,
    additionalGids: resolved.additionalGids,
    umask: base.user.umask ?? 0o022,
  };
  // HOME follows the user; the container's own was for somebody else.
  const inherited = resolved === undefined ? base.env : base.env.filter((entry) => !entry.startsWith("HOME="));
  const bounding = request.privileged ? allCapabilities(request) : base.capabilities.bounding;
  const process: OciProcess = {
    ...base,
    terminal: request.tty,
    user,
    args: request.argv,
    env: resolveEnv({ image: inherited, user: request.env, tty: request.tty, home: resolved?.home ?? "/" }),
    cwd: resolveCwd(request.workingDir, base.cwd),
    capabilities: capabilitySets(bounding, user.uid),
    noNewPrivileges: request.privileged ? false : base.noNewPrivileges,
  };
  delete process.consoleSize;
  if (request.consoleSize !== undefined) {
    process.consoleSize = { height: request.consoleSize.rows, width: request.consoleSize.cols };
  }
  if (base.rlimits !== undefined) {
    process.rlimits = base.rlimits.map(({ type, soft, hard }) => ({
      type,
      soft: readable(soft),
      hard: readable(hard),
    }));
  }
  return process;
}

/** Every capability that nyxd itself can give: crun fails on one that it cannot. */
function allCapabilities({ hostCapabilities }: ExecProcessRequest): string[] {
  return ALL_CAPABILITIES.filter((c) => hostCapabilities === undefined || hostCapabilities.includes(c));
}
