/** Plain objects as dictionaries whose keys come from users: only own properties count, and no key runs a setter. */

/** The value of an own key; `constructor` and `__proto__` are ordinary names. */
export function own<V>(record: { readonly [key: string]: V } | undefined, key: string): V | undefined {
  return record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined;
}

/** Keys in order of their code units. */
export function sortedKeys(record: object | undefined): string[] {
  return Object.keys(record ?? {}).sort((a, b) => (a < b ? -1 : a > b ? 1 : 0));
}

/** A copy with each value replaced. */
export function mapValues<V, W>(
  record: { readonly [key: string]: V },
  change: (value: V, key: string) => W,
): { [key: string]: W } {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value, key)]));
}

/** A copy with only some keys; undefined when none is left. */
export function filtered<V>(
  record: { [key: string]: V } | undefined,
  keep: (key: string) => boolean,
): { [key: string]: V } | undefined {
  const entries = Object.entries(record ?? {}).filter(([key]) => keep(key));
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

/** A copy without the keys whose value is undefined. */
export function defined<T extends object>(record: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

/** JSON with sorted keys and without undefined: the same text for the same meaning. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? "null";
  const record = value as { [key: string]: unknown };
  const fields = sortedKeys(record).filter((key) => record[key] !== undefined);
  return `{${fields.map((key) => `${JSON.stringify(key)}:${canonicalJson(record[key])}`).join(",")}}`;
}
