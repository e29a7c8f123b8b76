/** Which container a user means, and names for those that got none. */

import { NyxError } from "../spec/errors.ts";

/** What can be looked up. */
export interface Named {
  id: string;
  name: string;
}

/**
 * Finds by whole id, name, short id, or unique prefix of an id, in this order.
 *
 * @param kind word for messages, such as `container`
 * @throws NyxError not_found with the nearest names; invalid_argument when a prefix is ambiguous
 */
export function resolveRef<T extends Named>(ref: string, all: Iterable<T>, kind: string): T {
  const items = [...all];
  const clean = ref.startsWith("/") ? ref.slice(1) : ref;
  const exact = items.find((c) => c.id === clean) ?? items.find((c) => c.name === clean);
  if (exact !== undefined) return exact;
  const byPrefix = /^[0-9a-f]{1,64}$/.test(clean) ? items.filter((c) => c.id.startsWith(clean)) : [];
  if (byPrefix.length === 1 && byPrefix[0] !== undefined) return byPrefix[0];
  if (byPrefix.length > 1) {
    const some = byPrefix.slice(0, 5).map((c) => `${c.id.slice(0, 12)} (${c.name})`).join(", ");
    throw new NyxError(
      "invalid_argument",
      `Ambiguous ${kind} id "${clean}": it matches ${byPrefix.length}: ${some}; type more digits`,
    );
  }
  const near = items.filter((c) => distance(c.name, clean) <= 2).slice(0, 3).map((c) => `"${c.name}"`);
  const hint = near.length > 0 ? `; did you mean ${near.join(" or ")}?` : "";
  throw new NyxError("not_found", `No such ${kind}: ${JSON.stringify(clean)}${hint}`, { context: { ref: clean } });
}

/** Edits between two strings, cut off at 3. */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > 2 || a.length > 64) return 3;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const following = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      following.push(Math.min(substitute, (row[j] ?? 0) + 1, (following[j - 1] ?? 0) + 1));
    }
    row = following;
  }
  return row[b.length] ?? 3;
}

const ADJECTIVES =
  "amber brave bright calm clever crisp deep eager early fair fast fine fresh gentle glad golden grand green happy keen kind late light lively lucky mellow merry mild neat nimble noble patient plain polite proud quick quiet rapid ready rich round sharp shiny silent silver simple sleek smart smooth snowy soft solid spry steady still strong sunny sure swift tidy tranquil true vivid warm wise witty young"
    .split(" ");
const NOUNS =
  "acorn alder anchor aspen badger beacon birch bison brook canyon cedar cliff clover comet coral cove crane creek delta dune eagle elm ember falcon fern fjord forest fox glacier grove harbor hawk hazel heron hill island ivy jay juniper lagoon lake lark laurel lynx maple marten meadow moon moss oak orca osprey otter owl pebble pine plover pond poplar prairie quail raven reef ridge river robin rowan sparrow spruce stone stork summit swan tern thicket valley willow wolf wren"
    .split(" ");

/** A pronounceable name that `taken` does not hold. */
export function randomName(taken: (name: string) => boolean): string {
  const pick = (words: string[]) => words[(crypto.getRandomValues(new Uint32Array(1))[0] ?? 0) % words.length] ?? "nyx";
  for (let attempt = 0; attempt < 50; attempt++) {
    const name = `${pick(ADJECTIVES)}_${pick(NOUNS)}`;
    if (!taken(name)) return name;
  }
  return `${pick(ADJECTIVES)}_${pick(NOUNS)}_${randomId().slice(0, 6)}`;
}

/** A new container id: 64 random hex digits, never all decimal in its first 12 (it must not read as a number). */
export function randomId(): string {
  while (true) {
    const id = Array.from(crypto.getRandomValues(new Uint8Array(32)), (b) => b.toString(16).padStart(2, "0")).join("");
    if (!/^\d{12}/.test(id)) return id;
  }
}
