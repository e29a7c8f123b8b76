/** Filters as the query string carries them. */

/** Turns `{label: ["a=b"]}` into `["label=a=b"]`. */
export function filterList(filters: Record<string, string[]> | undefined): string[] | undefined {
  if (filters === undefined) return undefined;
  return Object.entries(filters).flatMap(([key, values]) => values.map((value) => `${key}=${value}`));
}
