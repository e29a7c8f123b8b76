/** Stage `bundle` (D06): generates OCI bundles, confined to the bundles directory. */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";
import type { BundleStage } from "../protocol.ts";
import { serve } from "../serve.ts";
import { etcPaths, writeEtcFiles, writeWhole } from "./etc_files.ts";
import { buildExecProcess } from "./exec_process.ts";
import { buildSpec, type GenerateRequest, type GenerateResult } from "./generate.ts";
import { encodeSpec, type RuntimeSpec } from "./runtime_spec.ts";

/** nyxd's bounding set as the last generate told it. */
let hostCapabilities: string[] | undefined;

const machine = { cpus: navigator.hardwareConcurrency, arch: Deno.build.arch };

function checkBundleDir(bundleDir: string): void {
  if (!bundleDir.startsWith("/") || bundleDir.split("/").includes("..")) {
    throw invalid("bundleDir", bundleDir, "it is an absolute path without ..");
  }
}

/** Writes config.json last, so that a bundle which has one is whole. */
function generate(request: GenerateRequest): GenerateResult {
  checkBundleDir(request.bundleDir);
  hostCapabilities = request.host.capabilities;
  if (request.shareEtcFrom !== undefined) checkBundleDir(request.shareEtcFrom);
  const etc = etcPaths(request.shareEtcFrom ?? request.bundleDir);
  const { spec, result } = buildSpec(request, etc, machine);
  Deno.mkdirSync(request.bundleDir, { recursive: true, mode: 0o700 });
  if (request.shareEtcFrom === undefined) writeEtcFiles(request.bundleDir, request);
  writeWhole(`${request.bundleDir}/config.json`, encodeSpec(spec), 0o600);
  return result;
}

function readSpec(bundleDir: string): RuntimeSpec {
  const path = `${bundleDir}/config.json`;
  try {
    return JSON.parse(Deno.readTextFileSync(path)) as RuntimeSpec;
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) {
      throw new NyxError("not_found", `Could not read ${path}: the container has no bundle; start it first`, {
        cause: e,
      });
    }
    throw new NyxError("data_loss", `Could not read ${path}: it is not a config.json; start the container again`, {
      cause: e,
    });
  }
}

serve<BundleStage>("bundle", {
  generate,
  execProcess(request) {
    checkBundleDir(request.bundleDir);
    const known = hostCapabilities === undefined ? {} : { hostCapabilities };
    const process = buildExecProcess(readSpec(request.bundleDir), { ...known, ...request });
    return { process: { ...process } };
  },
});
