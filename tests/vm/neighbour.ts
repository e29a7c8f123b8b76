/**
 * A second guest on a wire with the first: the same kernel, busybox and socat, all in memory, there within seconds. It is
 * 192.0.2.2 and 2001:db8::2 (documentation addresses, RFC 5737 and 3849), the first guest's eth1 is 192.0.2.1 and 2001:db8::1.
 */

import { run } from "../support/random_tree.ts";
import { type GuestBase, initramfs } from "./base.ts";
import type { CpioEntry } from "./cpio.ts";

const MODULES = ["virtio_pci", "virtio_console", "virtio_net", "sctp"];
const AGENT = new URL("guest/agent.sh", import.meta.url).pathname;

/** A program of the root with the libraries that it loads, at their paths; the directories come first. */
function program(root: string, path: string): CpioEntry[] {
  const listing = new TextDecoder().decode(run("chroot", [root, "ldd", path]));
  const files = [path, ...[...listing.matchAll(/(?:=> |^\s*)(\/\S+) \(0x/gm)].map((m) => m[1] ?? "")];
  const dirs = new Set<string>();
  for (const file of files) {
    for (let at = file.indexOf("/", 1); at > 0; at = file.indexOf("/", at + 1)) dirs.add(file.slice(1, at));
  }
  return [
    ...[...dirs].sort().map((dir) => ({ path: dir, mode: 0o040755 })),
    ...files.map((file) => ({ path: file.slice(1), mode: 0o100755, data: Deno.readFileSync(`${root}${file}`) })),
  ];
}

/** What it boots from. Needs a base whose programs run on this machine. */
export function neighbourInitramfs(base: GuestBase): Uint8Array<ArrayBuffer> {
  return initramfs(base, "neighbour.sh", MODULES, [
    { path: "agent", mode: 0o100755, data: Deno.readFileSync(AGENT) },
    ...program(base.root, "/usr/bin/socat"),
  ]);
}
