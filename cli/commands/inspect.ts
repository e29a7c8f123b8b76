/** `nyx inspect`: containers, else images, else volumes, else networks. */

import { invalid, type NyxClient, NyxError } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { INSPECT_FLAGS, inspectAll } from "../inspect_objects.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../failure.ts";
import { dockerNames } from "../render/inspect_view.ts";
import { dockerNetwork } from "../render/network_view.ts";
import { why } from "../render/why.ts";

const TYPES = ["container", "image", "volume", "network"] as const;

function lookup(
  client: NyxClient,
  type: (typeof TYPES)[number],
  name: string,
  format: string | undefined,
): Promise<unknown> {
  if (type === "image") return client.images.inspect(name);
  if (type === "volume") return client.volumes.inspect(name);
  if (type === "network") {
    return client.networks.inspect(name).then((info) =>
      format === undefined || format === "json" ? info : dockerNetwork(info)
    );
  }
  return client.containers.inspect(name).then((details) =>
    format === undefined || format === "json" ? details : dockerNames(details)
  );
}

/** Says why containers stopped, with their last lines. */
async function tellWhy(context: Context, client: NyxClient, names: readonly string[]): Promise<number> {
  for (const [i, name] of names.entries()) {
    const details = await client.containers.inspect(name);
    let lines = "";
    const decoder = new TextDecoder();
    for await (const b of client.containers.logs(name, { tail: 5 })) lines += decoder.decode(b, { stream: true });
    context.out.text(`${i === 0 ? "" : "\n"}${why(details, lines.split("\n").filter((l) => l !== "")).join("\n")}\n`);
  }
  return EXIT.ok;
}

/** `nyx inspect`. */
export const command = defineCommand({
  summary: "Show all about containers, images, volumes or networks",
  flags: {
    ...INSPECT_FLAGS,
    size: {
      type: "bool",
      short: "s",
      help: "",
      refuse: "sizes of single containers are not measured; see: nyx system df",
    },
    why: { type: "bool", help: "Tell in words how a container is and why it stopped" },
    type: {
      type: "value",
      value: "TYPE",
      help: "Look for this kind alone: container, image, volume or network",
      complete: TYPES,
    },
  },
  operands: [{ name: "NAME", variadic: true, complete: "containers" }],
  async run(context, flags, operands) {
    const only = TYPES.find((type) => type === flags.type);
    if (flags.type !== undefined && only === undefined) throw invalid("type", flags.type, `use ${TYPES.join(", ")}`);
    const client = await context.client();
    if (flags.why === true) return await tellWhy(context, client, operands);
    return await inspectAll(context, operands, flags.format, async (name) => {
      let first: unknown;
      // No container and no volume has such characters in its name: it is an image's reference.
      const kinds = only !== undefined ? [only] : /[/:@]/.test(name) ? ["image"] as const : TYPES;
      for (const type of kinds) {
        try {
          return await lookup(client, type, name, flags.format);
        } catch (e) {
          // A name that another kind's grammar refuses is not there either.
          const absent = e instanceof NyxError &&
            (e.code === "not_found" || (first !== undefined && e.code === "invalid_argument"));
          if (!absent) throw e;
          first ??= e;
        }
      }
      if (only !== undefined) throw first;
      const hint = first instanceof Error ? /Did you mean.*$/.exec(first.message)?.[0] : undefined;
      throw new NyxError(
        "not_found",
        `No container, image, volume or network is called "${name}"${hint === undefined ? "" : `. ${hint}`}`,
      );
    });
  },
});
