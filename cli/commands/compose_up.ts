/** `nyx compose up`. */

import { type ComposeUpRequest, NyxError } from "../../mod.ts";
import { parseInteger } from "../../daemon/spec/parse/cpus.ts";
import { defineCommand, type FlagSpecs, type FlagValues } from "../args/definition.ts";
import { attachProject } from "../compose/attach.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { progressWriter } from "../compose/progress.ts";
import { PLAN_FLAGS, planOptions } from "../compose/plan_flags.ts";
import { Project } from "../compose/source.ts";
import type { ProjectWatch } from "../compose/watch.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../failure.ts";
import { escapeControlsInLines } from "../render/escape.ts";

const FLAGS = {
  ...PROJECT_FLAGS,
  ...PLAN_FLAGS,
  "abort-on-container-exit": { type: "bool", help: "Stop all containers when one has stopped" },
  "abort-on-container-failure": { type: "bool", help: "Stop all containers when one has failed" },
  attach: { type: "list", value: "SERVICE", help: "Show the output of these services only" },
  "attach-dependencies": { type: "bool", help: "Show the output of dependencies, too" },
  detach: { type: "bool", short: "d", help: "Leave the containers in the background" },
  "dry-run": { type: "bool", help: "Print what would be done, and do nothing" },
  "exit-code-from": {
    type: "value",
    value: "SERVICE",
    help: "Return the exit code of this service's container; stops all when one has stopped",
  },
  menu: { type: "bool", help: "Keys while attached: d leaves, w watches files (default true on a terminal)" },
  "no-attach": { type: "list", value: "SERVICE", help: "Do not show the output of these services" },
  "no-color": { type: "bool", help: "No colours" },
  "no-log-prefix": { type: "bool", help: "No names before lines of output" },
  "no-start": { type: "bool", help: "Create containers, start none" },
  "quiet-pull": { type: "bool", help: "", hidden: true },
  "renew-anon-volumes": { type: "bool", short: "V", help: "New anonymous volumes for replaced containers" },
  timeout: { type: "value", short: "t", value: "SECONDS", help: "Grace between the stop signal and KILL" },
  timestamps: { type: "bool", help: "Put the time before each line" },
  wait: { type: "bool", help: "Wait until services run, and are healthy; implies -d" },
  "wait-timeout": { type: "value", value: "SECONDS", help: "Longest wait for that" },
  watch: { type: "bool", short: "w", help: "Carry over what changes in watched files (develop.watch)" },
} as const satisfies FlagSpecs;

type Flags = FlagValues<typeof FLAGS>;

/** When one container that ends ends all. */
function abortOn(flags: Flags): "exit" | "failure" | undefined {
  if (flags["exit-code-from"] !== undefined || flags["abort-on-container-exit"] === true) return "exit";
  return flags["abort-on-container-failure"] === true ? "failure" : undefined;
}

/** Whether the command ends when all is up. @throws NyxError when options contradict that */
function endsWhenUp(flags: Flags): boolean {
  if (flags.detach !== true && flags.wait !== true && flags["no-start"] !== true) return false;
  if (abortOn(flags) !== undefined) {
    throw new NyxError("invalid_argument", "Cannot leave containers in the background and stop when one of them does");
  }
  if (flags.watch === true) {
    throw new NyxError(
      "invalid_argument",
      "Cannot leave containers in the background and watch: use nyx compose watch",
    );
  }
  return true;
}

/** What the request says beyond the plan's options. */
function upOptions(flags: Flags, services: readonly string[]): Omit<ComposeUpRequest, "stream"> {
  const options: Omit<ComposeUpRequest, "stream"> = planOptions(flags, services);
  if (flags["no-start"] === true) options.no_start = true;
  if (flags["renew-anon-volumes"] === true) options.renew_anon_volumes = true;
  if (flags.timeout !== undefined) options.timeout_s = parseInteger(flags.timeout, "timeout", -1);
  if (flags.wait === true) options.wait = true;
  if (flags["wait-timeout"] !== undefined) {
    options.wait_timeout_s = parseInteger(flags["wait-timeout"], "wait-timeout", 0);
  }
  return options;
}

async function dryRun(context: Context, project: Project, flags: Flags, services: readonly string[]): Promise<number> {
  const client = await context.client();
  const options = { ...planOptions(flags, services), ...(flags["no-start"] === true ? { no_start: true } : {}) };
  const { plan, text, diagnostics } = await project.request((source) => client.compose.plan({ ...source, ...options }));
  project.warnOf(diagnostics);
  context.out.text(escapeControlsInLines(text));
  return plan.blocked.length > 0 ? EXIT.failure : EXIT.ok;
}

/** Rules of files to carry over, where somebody may ask for it. */
async function watchOf(
  context: Context,
  project: Project,
  flags: Flags,
  services: readonly string[],
): Promise<{ keys: boolean; watching: boolean; watch?: ProjectWatch }> {
  const keys = flags.menu !== false && Deno.stdin.isTerminal() && context.err.isTerminal;
  const watching = flags.watch === true;
  if (!keys && !watching) return { keys, watching };
  const { ProjectWatch } = await import("../compose/watch.ts");
  const watch = await ProjectWatch.of(context, project, () => Project.find(context, flags, true), services);
  if (watch !== undefined) return { keys, watching, watch };
  if (watching) throw new NyxError("failed_precondition", "No service has anything to watch; see develop.watch");
  return { keys, watching };
}

/** `nyx compose up`. */
export const command = defineCommand({
  summary: "Create and start what the compose files ask for",
  flags: FLAGS,
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  async run(context, flags, services) {
    const project = await Project.find(context, flags, true);
    project.mayBuild = flags["no-build"] !== true;
    if (flags["dry-run"] === true) return await dryRun(context, project, flags, services);
    const client = await context.client();
    const options = upOptions(flags, services);
    const detached = endsWhenUp(flags);
    const watch = detached ? undefined : await watchOf(context, project, flags, services);
    const since = new Date().toISOString();
    const onEvent = progressWriter(context, { noStart: flags["no-start"] === true });
    const result = await project.request((source) => client.compose.up({ ...source, ...options }, { onEvent }));
    if (detached) return EXIT.ok;
    const abort = abortOn(flags);
    return await attachProject(context, project, {
      ...watch,
      services,
      attach: flags.attach,
      noAttach: flags["no-attach"],
      ids: result.ids,
      since,
      prefix: flags["no-log-prefix"] !== true,
      color: flags["no-color"] !== true,
      timestamps: flags.timestamps === true,
      dependencies: flags["attach-dependencies"] === true || services.length === 0,
      ...(abort === undefined ? {} : { abortOn: abort }),
      ...(flags["exit-code-from"] === undefined ? {} : { exitCodeFrom: flags["exit-code-from"] }),
      ...(options.timeout_s === undefined ? {} : { timeoutS: options.timeout_s }),
    });
  },
});
