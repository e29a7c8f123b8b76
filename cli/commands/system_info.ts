/** `nyx info` and `nyx system info`. */

import type { SystemInfo } from "../../mod.ts";
import { formatBinarySize } from "../../daemon/spec/parse/size.ts";
import { VERSION } from "../../daemon/spec/version.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";
import { escapeControls } from "../render/escape.ts";
import { renderObjects } from "../render/rows.ts";
import { showWarnings } from "../run_request.ts";

function infoText(info: SystemInfo): string {
  const { containers, network, eventLoopDelayMs: delay } = info;
  const rows: [string, string][] = [
    ["Containers", String(containers.total)],
    [" Running", String(containers.running)],
    [" Paused", String(containers.paused)],
    [" Stopped", String(containers.stopped)],
    ["Images", String(info.images)],
    ["Server version", info.version],
    ["Base directory", info.baseDir],
    ["Cgroup layout", info.cgroup],
    ["Network driver", info.netDriver],
    ["Default network", `${network.name} (${network.bridge}, ${network.subnet}, gateway ${network.gateway})`],
    ["crun", info.crun],
    ["Kernel", info.kernel],
    ["Architecture", info.architecture],
    ["CPUs", String(info.cpus)],
    ["Memory", formatBinarySize(info.memoryBytes)],
    [
      "Event loop delay",
      `p50 ${delay.p50.toFixed(1)} ms, p99 ${delay.p99.toFixed(1)} ms, max ${delay.max.toFixed(1)} ms`,
    ],
  ];
  return `Client: nyx ${VERSION}\n\nServer:\n${
    rows.map(([name, value]) => ` ${name}: ${escapeControls(value)}\n`).join("")
  }`;
}

/** `nyx info`. */
export const command = defineCommand({
  summary: "Show the state of the daemon and its host",
  flags: { format: { type: "value", short: "f", value: "FORMAT", help: "json, or a Go template", complete: ["json"] } },
  operands: [],
  async run(context, flags) {
    const info = await (await context.client()).system.info();
    if (flags.format !== undefined) context.out.text(renderObjects([info], flags.format, context.out.isTerminal));
    else {
      context.out.text(infoText(info));
      showWarnings(context, info.warnings);
    }
    return EXIT.ok;
  },
});
