/** Finds the image that a user means: reference, digest reference, id, short id or unique prefix of an id. */

import { invalid, NyxError } from "../spec/errors.ts";
import { familiarReference, formatReference, type Reference, tryParseReference } from "../spec/reference.ts";
import type { ImageIndex, ImageRecord } from "./records.ts";

/** How an image was named, and what it is. */
export type Found =
  /** By a name it has; `key` is that name's canonical text. */
  | { by: "ref"; key: string; record: ImageRecord }
  /** By repository and digest, without such a name of its own. */
  | { by: "digest"; reference: Reference; record: ImageRecord }
  /** By id or a prefix of it. */
  | { by: "id"; record: ImageRecord };

const ID_PREFIX = /^(?:sha256:)?([0-9a-f]{1,64})$/;

function byDigest(index: ImageIndex, reference: Reference): ImageRecord | undefined {
  const repository = `${reference.domain}/${reference.path}`;
  for (const r of index.refs.values()) {
    if (`${r.reference.domain}/${r.reference.path}` !== repository) continue;
    if (r.manifestDigest === reference.digest || r.indexDigest === reference.digest) {
      return index.images.get(r.manifestDigest);
    }
  }
  for (const u of index.untagged.values()) {
    if (u.repository !== repository) continue;
    if (u.manifestDigest === reference.digest || u.indexDigest === reference.digest) {
      return index.images.get(u.manifestDigest);
    }
  }
  return undefined;
}

/** The key under which a reference is stored: as in Docker a digest wins over a tag. */
export function storedReference(reference: Reference): Reference {
  if (reference.digest === undefined || reference.tag === undefined) return reference;
  const { tag: _, ...rest } = reference;
  return rest;
}

function byReference(index: ImageIndex, text: string): Found | undefined {
  const parsed = tryParseReference(text);
  if (parsed === undefined) return undefined;
  const reference = storedReference(parsed);
  const key = formatReference(reference);
  const ref = index.refs.get(key);
  const record = ref === undefined ? undefined : index.images.get(ref.manifestDigest);
  if (record !== undefined) return { by: "ref", key, record };
  if (reference.digest === undefined) return undefined;
  const found = byDigest(index, reference);
  return found === undefined ? undefined : { by: "digest", reference, record: found };
}

/** Image ids that begin with a prefix. */
function idsWithPrefix(index: ImageIndex, hex: string): string[] {
  const prefix = `sha256:${hex}`;
  if (hex.length === 64) return index.hasId(prefix) ? [prefix] : [];
  return [...index.ids].filter((id) => id.startsWith(prefix));
}

/**
 * Finds an image; a whole id first, then a reference, then a prefix of an id, as Docker does.
 *
 * @returns undefined when there is none
 * @throws NyxError invalid_argument when a prefix fits several images
 */
export function tryFindImage(index: ImageIndex, text: string): Found | undefined {
  const hex = ID_PREFIX.exec(text)?.[1];
  if (hex?.length !== 64) {
    const found = byReference(index, text);
    if (found !== undefined) return found;
  }
  if (hex === undefined) return undefined;
  const ids = idsWithPrefix(index, hex);
  if (ids.length > 1) {
    const shown = ids.slice(0, 5).map((id) => id.slice(7, 19)).join(", ");
    throw invalid("image", text, `it fits ${ids.length} images (${shown}); give more of the id`);
  }
  const [id] = ids;
  const record = id === undefined ? undefined : index.withId(id)[0];
  return record === undefined ? undefined : { by: "id", record };
}

/** {@linkcode tryFindImage}, but none is a NyxError not_found with the closest names. */
export function findImage(index: ImageIndex, text: string): Found {
  const found = tryFindImage(index, text);
  if (found === undefined) throw noSuchImage(index, text);
  return found;
}

/** The not_found error for an image, or invalid_argument when the text cannot name any. */
export function noSuchImage(index: ImageIndex, text: string): NyxError {
  if (tryParseReference(text) === undefined && !ID_PREFIX.test(text)) {
    return invalid("image", text, "write a reference such as busybox:latest, or an image id");
  }
  const near = closestNames(index, text);
  const hint = near.length === 0 ? `pull it with "nyx pull ${text}"` : `did you mean ${near.join(" or ")}?`;
  return new NyxError("not_found", `No image ${JSON.stringify(text)} here: ${hint}`, { context: { image: text } });
}

/** Edit distance, given up beyond `most`. */
function distance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return most + 1;
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitution = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substitution, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    if (Math.min(...next) > most) return most + 1;
    row = next;
  }
  return row[b.length] ?? most + 1;
}

/** Up to three names like this one: few letters differ, or only the tag or the registry does. */
export function closestNames(index: ImageIndex, text: string): string[] {
  const wanted = tryParseReference(text);
  const wantedText = (wanted === undefined ? text : familiarReference(wanted)).slice(0, 200);
  const wantedBase = wanted?.path.split("/").at(-1);
  const scored: { name: string; score: number }[] = [];
  for (const { reference } of index.refs.values()) {
    const name = familiarReference(reference);
    const most = Math.max(2, Math.floor(wantedText.length / 5));
    const edits = distance(wantedText, name.slice(0, 200), most);
    if (edits <= most) scored.push({ name, score: edits });
    else if (wantedBase !== undefined && reference.path.split("/").at(-1) === wantedBase) {
      scored.push({ name, score: most + 1 });
    }
  }
  return scored.sort((a, b) => a.score - b.score || a.name.localeCompare(b.name)).slice(0, 3).map((s) => s.name);
}
