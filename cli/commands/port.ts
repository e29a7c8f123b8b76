/** `nyx port`. */

import { NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";
import { parsePrivatePort } from "../run_request.ts";

/** `nyx port`. */
export const command = defineCommand({
  summary: "Show the published ports of a container",
  flags: {},
  operands: [{ name: "CONTAINER", complete: "running" }, { name: "PORT[/PROTOCOL]", optional: true }],
  async run(context, _flags, [ref = "", wanted]) {
    const { name, network } = await (await context.client()).containers.inspect(ref);
    const all = network.ports.flatMap(({ hostIp, hostPort, containerPort, count, protocol }) =>
      Array.from({ length: count }, (_, at) => ({
        port: containerPort + at,
        protocol,
        host: `${hostIp === "" ? "0.0.0.0" : hostIp.includes(":") ? `[${hostIp}]` : hostIp}:${hostPort + at}`,
      }))
    );
    if (wanted === undefined) {
      context.out.text(all.map(({ port, protocol, host }) => `${port}/${protocol} -> ${host}\n`).join(""));
      return EXIT.ok;
    }
    const { port, protocol } = parsePrivatePort(wanted);
    const found = all.filter((one) => one.port === port && one.protocol === protocol);
    if (found.length === 0) {
      throw new NyxError("not_found", `Container ${name} does not publish port ${port}/${protocol}`);
    }
    context.out.text(found.map(({ host }) => `${host}\n`).join(""));
    return EXIT.ok;
  },
});
