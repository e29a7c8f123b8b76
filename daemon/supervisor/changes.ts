/** What a container itself changed: the overlay's differences without the mount points that nyx made. Pure. */

/** One difference against the image. */
export interface Change {
  kind: "A" | "C" | "D";
  path: string;
}

/** Files of /etc that nyx mounts; crun makes their mount points in the writable layer. */
const ETC_FILES = ["/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

/**
 * Leaves out added mount points, and directories that changed only because one was added in them.
 *
 * @param changes as the overlay has them
 * @param targets where the container's mounts are
 */
export function ownChanges(changes: readonly Change[], targets: readonly string[]): Change[] {
  const made = new Set([...ETC_FILES, ...targets]);
  // Parents of a mount point that were made for it.
  for (const target of targets) {
    for (let dir = parentOf(target); dir !== "/"; dir = parentOf(dir)) {
      if (changes.some((c) => c.kind === "A" && c.path === dir)) made.add(dir);
    }
  }
  const kept = changes.filter((c) => !(c.kind === "A" && made.has(c.path)));
  const touched = new Set(changes.filter((c) => c.kind === "A" && made.has(c.path)).map((c) => parentOf(c.path)));
  return kept.filter((c) =>
    c.kind !== "C" || !touched.has(c.path) || kept.some((o) => o !== c && o.path.startsWith(`${c.path}/`))
  );
}
