/** `nyx commit`. */

import { defineCommand } from "../args/definition.ts";
import { EXIT } from "../failure.ts";

/** `nyx commit`. */
export const command = defineCommand({
  summary: "Make an image of what a container changed",
  flags: {
    author: { type: "value", short: "a", value: "NAME", help: "Author, kept in the image" },
    change: { type: "list", short: "c", value: "INSTRUCTION", help: "Change the configuration as a Dockerfile would" },
    message: { type: "value", short: "m", value: "TEXT", help: "Message, kept in the image's history" },
    "no-pause": { type: "bool", help: "Do not freeze the container meanwhile" },
    pause: { type: "value", short: "p", value: "true|false", help: "Freeze the container meanwhile (default true)" },
  },
  operands: [{ name: "CONTAINER", complete: "containers" }, { name: "IMAGE", optional: true }],
  notes: "What is in volumes is not in the image. Example: nyx commit -c 'CMD [\"nginx\"]' web example.org/web:2",
  async run(context, flags, [ref = "", image]) {
    const { author, message } = flags;
    const { id } = await (await context.client()).containers.commit(ref, {
      ...(image === undefined ? {} : { ref: image }),
      ...(author === undefined ? {} : { author }),
      ...(message === undefined ? {} : { message }),
      changes: flags.change,
      pause: flags["no-pause"] !== true && flags.pause !== "false",
    });
    context.out.text(`${id}\n`);
    return EXIT.ok;
  },
});
