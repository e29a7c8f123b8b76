/**
 * What the CNI worker may do, in Deno's terms: what the native network worker may, and run the plugins, each by its absolute path.
 * Plugins run as root; what they do is theirs.
 */

import { networkPermissions } from "../network/permissions.ts";

/** Where configuration and plugins are. */
export interface CniPlaces {
  confDir: string;
  binDir: string;
  /** Absolute paths of the plugins that may be run. */
  plugins: string[];
}

/** Where Debian's containernetworking-plugins puts them; others use /opt/cni/bin. */
export const DEFAULT_BIN_DIR = "/usr/lib/cni";
/** Where networks are defined by custom. */
export const DEFAULT_CONF_DIR = "/etc/cni/net.d";

/** Plugins in a directory; none where it is missing. Permissions are lists that are split at commas. */
export function pluginsIn(binDir: string): string[] {
  try {
    return [...Deno.readDirSync(binDir)].filter((e) => !e.isDirectory && /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(e.name))
      .map((e) => `${binDir}/${e.name}`).sort();
  } catch (e) {
    if (e instanceof Deno.errors.NotFound) return [];
    throw e;
  }
}

/**
 * Permissions of the CNI worker of one daemon.
 *
 * @param baseDir daemon's base directory, absolute
 * @param places where configuration and plugins are
 */
export function cniPermissions(baseDir: string, { confDir, plugins }: CniPlaces): Deno.PermissionOptionsObject {
  const native = networkPermissions(baseDir);
  const [read, run] = [native.read, native.run];
  return {
    ...native,
    read: [...Array.isArray(read) ? read : [], confDir],
    run: [...Array.isArray(run) ? run : [], ...plugins],
  };
}
