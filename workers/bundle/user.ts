/** Users and groups of a container, looked up in the image's own passwd and group files (passwd(5), group(5)). */

import { invalid, NyxError } from "../../daemon/spec/errors.ts";

/** One line of passwd. */
export interface PasswdEntry {
  name: string;
  uid: number;
  gid: number;
  home: string;
}

/** One line of group. */
export interface GroupEntry {
  name: string;
  gid: number;
  members: string[];
}

/** Who a container's process is. */
export interface ResolvedUser {
  uid: number;
  gid: number;
  /** Supplementary groups; the primary group comes first, as the kernel checks negative group permissions against this list. */
  additionalGids: number[];
  /** Home directory; `/` when passwd knows none. */
  home: string;
}

/** Highest id that Docker accepts and that fits a signed 32-bit number. */
const MAX_ID = 2_147_483_647;

const decoder = new TextDecoder();

function lines(bytes: Uint8Array | undefined): string[][] {
  if (bytes === undefined) return [];
  return decoder.decode(bytes).split("\n").map((line) => line.trim())
    .filter((line) => line !== "" && !line.startsWith("#")).map((line) => line.split(":"));
}

function parseId(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,10}$/.test(text)) return undefined;
  const id = Number(text);
  return id <= MAX_ID ? id : undefined;
}

/** Entries of a passwd file; malformed lines, which hostile images may hold, are passed over. */
export function parsePasswd(bytes: Uint8Array | undefined): PasswdEntry[] {
  const entries: PasswdEntry[] = [];
  for (const [name, , uidText, gidText, , home] of lines(bytes)) {
    const uid = parseId(uidText);
    const gid = parseId(gidText);
    if (name === undefined || name === "" || uid === undefined || gid === undefined) continue;
    entries.push({ name, uid, gid, home: home ?? "" });
  }
  return entries;
}

/** Entries of a group file; malformed lines are passed over. */
export function parseGroup(bytes: Uint8Array | undefined): GroupEntry[] {
  const entries: GroupEntry[] = [];
  for (const [name, , gidText, members] of lines(bytes)) {
    const gid = parseId(gidText);
    if (name === undefined || name === "" || gid === undefined) continue;
    entries.push({ name, gid, members: (members ?? "").split(",").filter((m) => m !== "") });
  }
  return entries;
}

function numericId(field: string, text: string): number | undefined {
  if (!/^[0-9]+$/.test(text)) return undefined;
  const id = parseId(text);
  if (id === undefined) throw invalid(field, text, `ids go from 0 to ${MAX_ID}`);
  return id;
}

function resolveGroup(field: string, text: string, groups: GroupEntry[]): number {
  const named = groups.find((g) => g.name === text);
  if (named !== undefined) return named.gid;
  const id = numericId(field, text);
  if (id !== undefined) return id;
  throw new NyxError(
    "invalid_argument",
    `Could not find group ${JSON.stringify(text)}: the image's /etc/group has no such name; use a numeric gid`,
    { context: { field, value: text } },
  );
}

/**
 * Resolves what `--user` or the image's USER says, with Docker's rules: a name wins over a number, a number need not be in
 * passwd (then its group is 0 and its home `/`), and memberships of the group file count only when no group was named.
 *
 * @param spec `user`, `uid`, `user:group`, `uid:gid`, or empty for root
 * @param passwd bytes of the image's /etc/passwd
 * @param group bytes of the image's /etc/group
 * @param groupAdd more groups, by name or number
 * @throws NyxError invalid_argument for an unknown name or an id out of range
 */
export function resolveUser(
  spec: string,
  passwd: Uint8Array | undefined,
  group: Uint8Array | undefined,
  groupAdd: readonly string[] = [],
): ResolvedUser {
  const users = parsePasswd(passwd);
  const groups = parseGroup(group);
  const colon = spec.indexOf(":");
  const userText = colon < 0 ? spec : spec.slice(0, colon);
  const groupText = colon < 0 ? "" : spec.slice(colon + 1);

  const wanted = userText === "" ? "0" : userText;
  const asNumber = numericId("user", wanted);
  const entry = users.find((u) => u.name === wanted) ?? users.find((u) => u.uid === asNumber);
  if (entry === undefined && asNumber === undefined) {
    throw new NyxError(
      "invalid_argument",
      `Could not find user ${JSON.stringify(wanted)}: the image's /etc/passwd has no such name; use a numeric uid`,
      { context: { field: "user", value: spec } },
    );
  }
  const uid = entry?.uid ?? asNumber ?? 0;
  const gid = groupText === "" ? entry?.gid ?? 0 : resolveGroup("user", groupText, groups);
  const additional = new Set([gid]);
  if (groupText === "" && entry !== undefined) {
    for (const g of groups) if (g.members.includes(entry.name)) additional.add(g.gid);
  }
  for (const g of groupAdd) additional.add(resolveGroup("groupAdd", g, groups));
  const home = entry?.home.startsWith("/") ? entry.home : "/";
  return { uid, gid, additionalGids: [...additional], home };
}
