/** `nyx update`. */

import { NyxError } from "../../mod.ts";
import { formatRestart, parseRestart } from "../../daemon/spec/parse/restart.ts";
import { defineCommand } from "../args/definition.ts";
import { eachOf } from "../batch.ts";
import { resourcesOf } from "../container_config.ts";
import { CONTAINER_FLAGS as FLAGS } from "../container_flags.ts";
import { showWarnings } from "../run_request.ts";

/** `nyx update`. */
export const command = defineCommand({
  summary: "Change limits of containers",
  flags: {
    "blkio-weight": FLAGS["blkio-weight"],
    "cpu-period": FLAGS["cpu-period"],
    "cpu-quota": FLAGS["cpu-quota"],
    "cpu-shares": FLAGS["cpu-shares"],
    cpus: FLAGS.cpus,
    "cpuset-cpus": FLAGS["cpuset-cpus"],
    "cpuset-mems": FLAGS["cpuset-mems"],
    memory: FLAGS.memory,
    "memory-reservation": FLAGS["memory-reservation"],
    "memory-swap": FLAGS["memory-swap"],
    "pids-limit": FLAGS["pids-limit"],
    restart: FLAGS.restart,
    "cpu-rt-period": FLAGS["cpu-rt-period"],
    "cpu-rt-runtime": FLAGS["cpu-rt-runtime"],
    "kernel-memory": FLAGS["kernel-memory"],
  },
  operands: [{ name: "CONTAINER", variadic: true, complete: "containers" }],
  async run(context, flags, operands) {
    const resources = resourcesOf(flags);
    const restart = flags.restart === undefined ? undefined : formatRestart(parseRestart(flags.restart));
    if (resources === undefined && restart === undefined) {
      throw new NyxError("invalid_argument", "Nothing to change: give at least one option, such as --memory 512m");
    }
    const client = await context.client();
    return await eachOf(context, operands, async (ref) => {
      const change = {
        ...(resources === undefined ? {} : { resources }),
        ...(restart === undefined ? {} : { restart }),
      };
      showWarnings(context, (await client.containers.update(ref, change)).warnings);
      return ref;
    });
  },
});
