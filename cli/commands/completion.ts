/** `nyx completion`. */

import { invalid } from "../../mod.ts";
import { defineCommand } from "../args/definition.ts";
import { COMPLETION_SCRIPTS } from "../completion_scripts.ts";
import { EXIT } from "../failure.ts";

/** `nyx completion`. */
export const command = defineCommand({
  summary: "Print a completion script for a shell",
  flags: {},
  operands: [{ name: "SHELL", complete: ["bash", "zsh", "fish"] }],
  notes: `bash:  source <(nyx completion bash)      or write it to /etc/bash_completion.d/nyx
zsh:   source <(nyx completion zsh)       or write it to a directory of fpath as _nyx
fish:  nyx completion fish | source       or write it to ~/.config/fish/completions/nyx.fish`,
  run(context, _flags, [shell = ""]) {
    const script = Object.hasOwn(COMPLETION_SCRIPTS, shell) ? COMPLETION_SCRIPTS[shell] : undefined;
    if (script === undefined) throw invalid("shell", shell, `use ${Object.keys(COMPLETION_SCRIPTS).join(", ")}`);
    context.out.text(script);
    return Promise.resolve(EXIT.ok);
  },
});
