/** Parser of /proc/<pid>/mountinfo (proc(5), section 3.5 of the kernel's proc.rst). Pure. */

/** One mount. */
export interface MountInfo {
  id: number;
  parentId: number;
  /** Device as major:minor. */
  device: string;
  /** What of the file system is mounted. */
  root: string;
  /** Where, as the reading process sees it. */
  mountPoint: string;
  /** Options of the mount. */
  options: string[];
  /** shared:N, master:N and so on. */
  optional: string[];
  type: string;
  source: string;
  /** Options of the file system, whole: they may hold escaped commas. */
  superOptions: string;
}

/** Undoes the octal escapes of space, tab, newline and backslash. */
export function unescapeField(text: string): string {
  if (!text.includes("\\")) return text;
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(parseInt(octal, 8)));
}

/** One line; undefined for a malformed one. */
function parseLine(line: string): MountInfo | undefined {
  const fields = line.split(" ");
  const dash = fields.indexOf("-", 6);
  const [id, parentId, device, root, mountPoint, options] = fields;
  const [type, source, superOptions] = dash < 0 ? [] : fields.slice(dash + 1);
  if (mountPoint === undefined || options === undefined || type === undefined || source === undefined) return undefined;
  return {
    id: Number(id),
    parentId: Number(parentId),
    device: device ?? "",
    root: unescapeField(root ?? ""),
    mountPoint: unescapeField(mountPoint),
    options: options.split(","),
    optional: fields.slice(6, dash),
    type,
    source: unescapeField(source),
    superOptions: superOptions ?? "",
  };
}

/** All mounts in the order in which they were made; malformed lines are passed over. */
export function parseMountInfo(text: string): MountInfo[] {
  const mounts: MountInfo[] = [];
  for (const line of text.split("\n")) {
    const mount = line === "" ? undefined : parseLine(line);
    if (mount !== undefined) mounts.push(mount);
  }
  return mounts;
}

/** Whether `path` is `dir` or lies below it; both absolute and clean. */
export function isAtOrBelow(path: string, dir: string): boolean {
  return path === dir || dir === "/" || path.startsWith(`${dir}/`);
}

/** Mount points at or below a directory, deepest first, so that they can be unmounted in this order. Stacked mounts count each. */
export function mountsBelow(mounts: readonly MountInfo[], dir: string): string[] {
  return mounts.map((m, index) => ({ path: m.mountPoint, index }))
    .filter(({ path }) => isAtOrBelow(path, dir))
    .sort((a, b) => b.path.split("/").length - a.path.split("/").length || b.index - a.index)
    .map(({ path }) => path);
}
