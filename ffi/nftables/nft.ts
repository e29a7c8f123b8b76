/** nftables in its own language (nft(8)): a ruleset text in, an error or JSON out. */

/** Elements by map name; each is `[key, data]` in nft's words. */
export type MapElements = Map<string, [string, string][]>;

/** Runs nft commands in the network namespace in which it was opened. Synchronous; one text is one transaction. */
export interface Nft extends Disposable {
  /** How commands get to the kernel, for the log. */
  readonly via: string;

  /**
   * Applies commands: all of them or none.
   *
   * @throws NftError with nft's own words
   */
  run(commands: string): void;

  /**
   * Runs a listing command and returns the objects of its JSON (libnftables-json(5)), without the metainfo.
   *
   * @throws NftError with nft's own words
   */
  list(command: string): Record<string, unknown>[];

  /**
   * Deletes elements of maps of an inet table, then adds others: all or nothing.
   *
   * @throws NftError
   */
  change(table: string, remove: MapElements, add: MapElements): void;
}

/** Commands that add elements; one text is one transaction. */
export function addCommands(table: string, elements: MapElements): string {
  return [...elements].map(([map, rows]) =>
    `add element inet ${table} ${map} { ${rows.map(([k, v]) => `${k} : ${v}`).join(", ")} }`
  ).join("\n");
}

/** Commands that delete elements; they fail as a whole when one is missing. */
export function deleteCommands(table: string, elements: MapElements): string {
  return [...elements].map(([map, rows]) =>
    `delete element inet ${table} ${map} { ${rows.map(([k]) => k).join(", ")} }`
  ).join("\n");
}

/** nft refused commands. */
export class NftError extends Error {
  override readonly name = "NftError";
  /** Whether the object that was named does not exist. */
  readonly missing: boolean;
  /** Whether the object that was to be made exists. */
  readonly exists: boolean;

  /**
   * @param output nft's error output
   * @param commands what was run
   */
  constructor(output: string, readonly commands: string) {
    const first = output.split("\n").find((l) => l.trim() !== "")?.replace(/^.*?Error: /, "").trim() ??
      "it gave no reason";
    super(`nft refused the commands: ${first}`);
    this.missing = output.includes("No such file or directory");
    this.exists = output.includes("File exists");
  }
}

/** Objects of a JSON listing. */
export function parseListing(text: string): Record<string, unknown>[] {
  if (text.trim() === "") return [];
  const document = JSON.parse(text) as { nftables?: Record<string, unknown>[] };
  return (document.nftables ?? []).filter((o) => !("metainfo" in o));
}
