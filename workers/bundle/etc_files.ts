/** hostname, hosts and resolv.conf of a container: written into its bundle, mounted over the image's. */

import { invalid } from "../../daemon/spec/errors.ts";
import type { EtcFiles } from "./mounts.ts";

const DEFAULT_HOSTS: readonly [string, string][] = [
  ["127.0.0.1", "localhost"],
  ["::1", "localhost ip6-localhost ip6-loopback"],
  ["fe00::", "ip6-localnet"],
  ["ff00::", "ip6-mcastprefix"],
  ["ff02::1", "ip6-allnodes"],
  ["ff02::2", "ip6-allrouters"],
];

/**
 * Text of /etc/hosts (hosts(5)).
 *
 * @param entries address and names, after the defaults
 * @throws NyxError invalid_argument for an entry that would forge another line
 */
export function renderHosts(entries: readonly [string, string[]][]): string {
  const lines = DEFAULT_HOSTS.map(([ip, names]) => `${ip}\t${names}`);
  for (const [ip, names] of entries) {
    if (!/^[0-9a-fA-F:.%a-zA-Z]+$/.test(ip)) throw invalid("hosts", ip, "use an IPv4 or IPv6 address");
    for (const name of names) {
      if (name === "" || /[\s#\0]/.test(name)) throw invalid("hosts", name, "a host name has no spaces");
    }
    if (names.length > 0) lines.push(`${ip}\t${names.join(" ")}`);
  }
  return `${lines.join("\n")}\n`;
}

/**
 * Checks a hostname as sethostname(2) and DNS would take it: up to 64 bytes of letters, digits, `-`, `_` and dots.
 *
 * @throws NyxError invalid_argument for another
 */
export function checkHostname(field: string, name: string): void {
  const fits = name.length <= 64 &&
    /^[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?(\.[a-zA-Z0-9_]([a-zA-Z0-9_-]*[a-zA-Z0-9_])?)*$/.test(name);
  if (!fits) throw invalid(field, name, "use up to 64 letters, digits, dashes and dots");
}

/** Writes a file so that a reader sees all of the old or all of the new one. */
export function writeWhole(path: string, text: string, mode: number): void {
  const temporary = `${path}.tmp`;
  Deno.writeTextFileSync(temporary, text, { mode });
  // The umask of the daemon must not decide what a container's user can read.
  Deno.chmodSync(temporary, mode);
  Deno.renameSync(temporary, path);
}

/**
 * Writes the three files into a bundle.
 *
 * @returns their host paths by target
 */
export function writeEtcFiles(
  bundleDir: string,
  content: { hostname: string; hosts: readonly [string, string[]][]; resolvConf: string },
): EtcFiles {
  const files = etcPaths(bundleDir);
  writeWhole(files["/etc/hostname"], `${content.hostname}\n`, 0o644);
  writeWhole(files["/etc/hosts"], renderHosts(content.hosts), 0o644);
  writeWhole(files["/etc/resolv.conf"], content.resolvConf, 0o644);
  return files;
}

/** Where the three files of a bundle are. */
export function etcPaths(bundleDir: string): EtcFiles {
  return {
    "/etc/hostname": `${bundleDir}/hostname`,
    "/etc/hosts": `${bundleDir}/hosts`,
    "/etc/resolv.conf": `${bundleDir}/resolv.conf`,
  };
}
