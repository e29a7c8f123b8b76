/** Removal: which names go, whether the image goes with them, and what must be refused. Deciding is apart from doing. */

import { NyxError } from "../spec/errors.ts";
import type { ImagePruneResult, ImageRemoveResult } from "../spec/api.ts";
import { familiarReference, formatRepository, parseReference } from "../spec/reference.ts";
import { collect, collectIngest, diskBytes, expirePending } from "./collect.ts";
import { dropRef, dropUntagged } from "./commit.ts";
import { findImage, type Found } from "./names.ts";
import { reachable, unreachable } from "./reachability.ts";
import type { ImageIndex } from "./records.ts";
import type { StoreState } from "./state.ts";

/** What a removal will do. */
export interface RemovalPlan {
  imageId: string;
  /** Canonical names that go. */
  refs: string[];
  /** The image goes too. */
  deletes: boolean;
  /** The image stays without a name, because containers use it. */
  keeps: boolean;
}

function short(id: string): string {
  return id.slice("sha256:".length, "sha256:".length + 12);
}

function inUse(text: string, users: readonly string[], fix: string): NyxError {
  const shown = users.slice(0, 5).join(", ") + (users.length > 5 ? `, and ${users.length - 5} more` : "");
  return new NyxError(
    "failed_precondition",
    `Could not remove image ${JSON.stringify(text)}: used by ${shown}; ${fix}`,
    {
      context: { image: text, containers: users.length },
    },
  );
}

/** Names that go when an image is removed by what `found` says. */
function refsToDrop(index: ImageIndex, text: string, found: Found, force: boolean): string[] {
  if (found.by === "ref") return [found.key];
  if (found.by === "digest") {
    const repository = formatRepository(found.reference);
    return [...index.refs]
      .filter(([, r]) => r.manifestDigest === found.record.manifestDigest)
      .filter(([, r]) => formatRepository(r.reference) === repository)
      .map(([key]) => key);
  }
  const refs = index.refsOfId(found.record.imageId);
  const repositories = new Set(refs.map((r) => formatRepository(parseReference(r))));
  if (repositories.size > 1 && !force) {
    throw new NyxError(
      "failed_precondition",
      `Could not remove image ${JSON.stringify(text)}: it has names in several repositories (${
        refs.map((r) => familiarReference(parseReference(r))).join(", ")
      }); remove them by name, or use force`,
    );
  }
  return refs;
}

/**
 * Decides a removal.
 *
 * @param users containers made from the image
 * @throws NyxError not_found; failed_precondition when containers use it and `force` is off, or names lie in several
 * repositories
 */
export function planRemoval(
  index: ImageIndex,
  text: string,
  force: boolean,
  users: (imageId: string) => readonly string[],
): RemovalPlan {
  const found = findImage(index, text);
  const { imageId } = found.record;
  const refs = refsToDrop(index, text, found, force);
  const left = index.refsOfId(imageId).filter((r) => !refs.includes(r));
  const last = left.length === 0;
  const containers = users(imageId);
  if (last && containers.length > 0) {
    if (!force) throw inUse(text, containers, "remove the containers first, or use force to take only its names");
    if (refs.length === 0) throw inUse(text, containers, "it has no name to take; remove the containers first");
  }
  return { imageId, refs, deletes: last && containers.length === 0, keeps: last && containers.length > 0 };
}

/** Removes an image or a name of it. */
export async function removeImage(state: StoreState, text: string, force: boolean): Promise<ImageRemoveResult> {
  const plan = await state.mutate(async () => {
    const plan = planRemoval(state.index, text, force, (id) => usersOf(state, id));
    for (const key of plan.refs) await dropRef(state, key, { keep: plan.keeps });
    if (plan.deletes) await forget(state, plan.imageId);
    return plan;
  });
  const { layers } = await collect(state);
  for (const name of plan.refs) state.announce("untag", plan.imageId, { name });
  if (plan.deletes) state.announce("delete", plan.imageId);
  return { ok: true, ref: text, untagged: plan.refs, deleted: plan.deletes ? [plan.imageId, ...layers] : [] };
}

function usersOf(state: StoreState, imageId: string): string[] {
  const users = state.callbacks.usedBy(imageId);
  return users.length === 0 && state.isPinned(imageId) ? ["a container that is being made"] : users;
}

/** Drops what is left of an image that has no names any more. */
async function forget(state: StoreState, imageId: string): Promise<void> {
  for (const record of state.index.withId(imageId)) await dropUntagged(state, record.manifestDigest);
}

/** Images that a prune removes, and those it would but for containers. Ids. */
export function planPrune(
  index: ImageIndex,
  all: boolean,
  users: (imageId: string) => readonly string[],
): { remove: string[]; inUse: string[] } {
  const remove: string[] = [];
  const inUse: string[] = [];
  for (const id of index.ids) {
    const used = users(id).length > 0;
    if (used) inUse.push(id);
    else if (all || index.refsOfId(id).length === 0) remove.push(id);
  }
  return { remove: remove.sort(), inUse: inUse.sort() };
}

/** Bytes on disk that would be free without some images. */
export async function bytesFreedBy(state: StoreState, imageIds: readonly string[]): Promise<number> {
  const without = new Set(imageIds.flatMap((id) => state.index.withId(id).map((r) => r.manifestDigest)));
  const keep = reachable(state.index, state.extraRoots({ pending: false }), without);
  const gone = unreachable({ blobs: state.blobs.keys(), layers: state.layers.diffIds }, keep);
  const blobs = await Promise.all(gone.blobs.map((d) => diskBytes(state.paths.blob(d))));
  return blobs.reduce((a, b) => a + b, 0) +
    gone.layers.reduce((sum, d) => sum + (state.layers.get(d)?.diskBytes ?? 0), 0);
}

/** Name for people of an image: its first name, else its short id. */
function nameOf(state: StoreState, imageId: string): string {
  const [ref] = state.index.refsOfId(imageId);
  return ref ?? short(imageId);
}

/** Removes images without a name (`all`: also named ones) that no container uses, and what unfinished pulls left. */
export async function pruneImages(
  state: StoreState,
  options: { dryRun: boolean; all: boolean },
): Promise<ImagePruneResult> {
  const { removed, in_use, ids } = await state.mutate(async () => {
    const plan = planPrune(state.index, options.all, (id) => usersOf(state, id));
    const names = plan.remove.map((id) => nameOf(state, id));
    const kept = plan.inUse.map((id) => nameOf(state, id));
    if (!options.dryRun) await forgetAll(state, plan.remove);
    return { removed: names, in_use: kept, ids: plan.remove };
  });
  if (options.dryRun) return { ok: true, dry_run: true, removed, in_use, reclaimed: await bytesFreedBy(state, ids) };
  const { bytes } = await collect(state);
  const reclaimed = bytes + await collectIngest(state);
  state.announce("prune", "", { reclaimed: String(reclaimed) });
  return { ok: true, dry_run: false, removed, in_use, reclaimed };
}

async function forgetAll(state: StoreState, imageIds: readonly string[]): Promise<void> {
  for (const id of imageIds) {
    for (const key of state.index.refsOfId(id)) await dropRef(state, key, { keep: false });
    await forget(state, id);
    state.announce("delete", id);
  }
  await expirePending(state, 0);
}
