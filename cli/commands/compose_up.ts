/** `nyx compose up`. */

import { type ComposeUpRequest, NyxError } from "../../mod.ts";
import { parseInteger } from "../../daemon/spec/parse/cpus.ts";
import { defineCommand } from "../args/definition.ts";
import { attachProject } from "../compose/attach.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";
import { progressWriter } from "../compose/progress.ts";
import { PLAN_FLAGS, planOptions } from "../compose/plan_flags.ts";
import { Project } from "../compose/source.ts";
import { EXIT } from "../failure.ts";
import { escapeControlsInLines } from "../render/escape.ts";

/** `nyx compose up`. */
export const command = defineCommand({
  summary: "Create and start what the compose files ask for",
  flags: {
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
    menu: { type: "bool", help: "", hidden: true },
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
    watch: { type: "bool", short: "w", help: "", refuse: "nyx does not watch files" },
  },
  operands: [{ name: "SERVICE", optional: true, variadic: true }],
  async run(context, flags, services) {
    const project = await Project.find(context, flags, true);
    project.mayBuild = flags["no-build"] !== true;
    const client = await context.client();
    const options: Omit<ComposeUpRequest, "stream"> = {
      ...planOptions(flags, services),
      ...(flags["no-start"] === true ? { no_start: true } : {}),
    };
    if (flags["dry-run"] === true) {
      const { plan, text, diagnostics } = await project.request((source) =>
        client.compose.plan({ ...source, ...options })
      );
      project.warn(diagnostics.filter((d) => d.severity === "warning").map((d) => `${d.path}: ${d.message}`));
      context.out.text(escapeControlsInLines(text));
      return plan.blocked.length > 0 ? EXIT.failure : EXIT.ok;
    }
    if (flags["renew-anon-volumes"] === true) options.renew_anon_volumes = true;
    if (flags.timeout !== undefined) options.timeout_s = parseInteger(flags.timeout, "timeout", -1);
    if (flags.wait === true) options.wait = true;
    if (flags["wait-timeout"] !== undefined) {
      options.wait_timeout_s = parseInteger(flags["wait-timeout"], "wait-timeout", 0);
    }
    const abortOn = flags["exit-code-from"] !== undefined || flags["abort-on-container-exit"] === true
      ? "exit"
      : flags["abort-on-container-failure"] === true
      ? "failure"
      : undefined;
    const detached = flags.detach === true || flags.wait === true || flags["no-start"] === true;
    if (detached && abortOn !== undefined) {
      throw new NyxError(
        "invalid_argument",
        "Cannot leave containers in the background and stop when one of them does",
      );
    }
    const since = new Date().toISOString();
    const onEvent = progressWriter(context, { noStart: flags["no-start"] === true });
    const result = await project.request((source) => client.compose.up({ ...source, ...options }, { onEvent }));
    if (detached) return EXIT.ok;
    return await attachProject(context, project, {
      services,
      attach: flags.attach,
      noAttach: flags["no-attach"],
      ids: result.ids,
      since,
      prefix: flags["no-log-prefix"] !== true,
      color: flags["no-color"] !== true,
      timestamps: flags.timestamps === true,
      dependencies: flags["attach-dependencies"] === true || services.length === 0,
      ...(abortOn === undefined ? {} : { abortOn }),
      ...(flags["exit-code-from"] === undefined ? {} : { exitCodeFrom: flags["exit-code-from"] }),
      ...(options.timeout_s === undefined ? {} : { timeoutS: options.timeout_s }),
    });
  },
});
