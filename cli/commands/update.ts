/** `nyx update`. */

import { NyxError } from "../../mod.ts";
import { parsePublish } from "../../daemon/spec/parse/ports.ts";
import { formatRestart, parseRestart } from "../../daemon/spec/parse/restart.ts";
import { defineCommand } from "../args/definition.ts";
import { eachOf } from "../batch.ts";
import { resourcesOf } from "../container_config.ts";
import { CONTAINER_FLAGS as FLAGS } from "../container_flags.ts";
import { showWarnings } from "../run_request.ts";

/** `nyx update`. */
export const command = defineCommand({
  summary: "Change limits and published ports of containers",
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
    "publish-add": {
      type: "list",
      value: "PORT",
      help: "Publish a port, running or not: [HOST-IP:][HOST-PORT:]PORT[/udp]",
    },
    "publish-from": {
      type: "value",
      value: "CONTAINER",
      help: "Take over all published ports of a running container; connections open there go on",
    },
    "publish-rm": {
      type: "list",
      value: "PORT",
      help: "Publish a port no more; PORT alone means all host ports of it. Open connections go on",
    },
  },
  operands: [{ name: "CONTAINER", variadic: true, complete: "containers" }],
  async run(context, flags, operands) {
    const resources = resourcesOf(flags);
    const restart = flags.restart === undefined ? undefined : formatRestart(parseRestart(flags.restart));
    const add = flags["publish-add"].map((text) => parsePublish(text, "publish-add"));
    const remove = flags["publish-rm"].map((text) => parsePublish(text, "publish-rm"));
    const from = flags["publish-from"];
    const publish = add.length + remove.length === 0 && from === undefined
      ? undefined
      : { add, remove, ...(from === undefined ? {} : { from }) };
    if (resources === undefined && restart === undefined && publish === undefined) {
      throw new NyxError("invalid_argument", "Nothing to change: give at least one option, such as --memory 512m");
    }
    const client = await context.client();
    return await eachOf(context, operands, async (ref) => {
      const change = {
        ...(resources === undefined ? {} : { resources }),
        ...(restart === undefined ? {} : { restart }),
        ...(publish === undefined ? {} : { publish }),
      };
      showWarnings(context, (await client.containers.update(ref, change)).warnings);
      return ref;
    });
  },
});
