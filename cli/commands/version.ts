/** `nyx version`. */

import type { VersionInfo } from "../../mod.ts";
import { API_VERSION, BUILD, VERSION } from "../../daemon/spec/version.ts";
import { defineCommand } from "../args/definition.ts";
import { EXIT, reportFailure } from "../failure.ts";
import { escapeControls } from "../render/escape.ts";
import { renderObjects } from "../render/rows.ts";

function block(title: string, rows: readonly (readonly [string, string])[]): string {
  return `${title}\n${rows.map(([name, value]) => ` ${`${name}:`.padEnd(14)} ${escapeControls(value)}\n`).join("")}`;
}

/** `nyx version`. */
export const command = defineCommand({
  summary: "Show the versions of nyx and nyxd",
  flags: { format: { type: "value", short: "f", value: "FORMAT", help: "json, or a Go template", complete: ["json"] } },
  operands: [],
  async run(context, flags) {
    const client = {
      Version: VERSION,
      APIVersion: API_VERSION,
      Commit: BUILD.commit,
      BuildDate: BUILD.buildDate,
      Deno: Deno.version.deno,
      Os: Deno.build.os,
      Arch: Deno.build.arch,
    };
    let server: VersionInfo | undefined;
    let failure: unknown;
    try {
      server = await (await context.client()).system.version();
    } catch (e) {
      failure = e;
    }
    if (flags.format !== undefined) {
      context.out.text(
        renderObjects([{ Client: client, Server: server ?? null }], flags.format, context.out.isTerminal),
      );
    } else {
      context.out.text(
        block("Client: nyx", [
          ["Version", VERSION],
          ["API version", API_VERSION],
          ["Commit", BUILD.commit],
          ["Built", BUILD.buildDate],
          ["Deno", client.Deno],
          ["OS/Arch", `${client.Os}/${client.Arch}`],
        ]),
      );
      if (server !== undefined) {
        context.out.text(`\n${
          block("Server: nyxd", [
            ["Version", server.version],
            ["API version", server.apiVersion],
            ["Commit", server.commit],
            ["Built", server.buildDate],
            ["Deno", server.deno],
            ["crun", server.crun],
            ["Kernel", server.kernel],
          ])
        }`);
      }
    }
    if (failure === undefined) return EXIT.ok;
    reportFailure(context, failure);
    return EXIT.failure;
  },
});
