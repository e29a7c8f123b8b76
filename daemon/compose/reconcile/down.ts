/** `down`: containers, dependents first, then networks, then what else was asked for. */

import type { ProgressOptions } from "../../control/services.ts";
import type { ComposePlan } from "../../spec/compose.ts";
import type { ComposeDownRequest, ComposeDownResult } from "../../spec/compose_api.ts";
import { toNyxError } from "../../spec/errors.ts";
import { defined, own, sortedKeys } from "../dictionary.ts";
import { LABEL } from "../labels.ts";
import { planDown } from "../plan/down.ts";
import { imageOf } from "../print.ts";
import type { ComposeProject } from "../project.ts";
import { applyPlan } from "./apply.ts";
import type { ComposeEngine } from "./engine.ts";
import { NO_FILES } from "./files.ts";
import { observeByName } from "./observe.ts";
import { emptyProject } from "./source.ts";

/** The steps of a plan that name objects others may still use: what stands in their way is told, and does not fail the whole. */
const SHARED = new Set(["remove-network", "remove-volume"]);

/** Takes a project down, known by its files or by its name alone. */
export async function takeDownProject(
  engine: ComposeEngine,
  { name, loaded }: { name: string; loaded?: ComposeProject },
  request: ComposeDownRequest,
  progress: ProgressOptions,
): Promise<ComposeDownResult> {
  const world = await observeByName(engine, name);
  const paths = new Map((await engine.volumes()).map((v) => [v.name, v.mountpoint]));
  const plan = planDown(name, world, {
    volumes: request.remove_volumes === true,
    ...defined({
      services: request.services,
      removeOrphans: request.remove_orphans,
      known: loaded === undefined ? undefined : sortedKeys(loaded.whole.services),
    }),
  });
  const images = request.rmi === undefined ? [] : imagesToRemove(plan, loaded, world.containers, request.rmi);
  const containers: ComposePlan = { ...plan, steps: plan.steps.filter((s) => !SHARED.has(s.action)) };
  const action = `take down project ${name}`;
  const applied = await applyPlan(containers, loaded ?? emptyProject(name), engine, {
    ...progress,
    action,
    files: NO_FILES,
    renewVolumes: request.remove_volumes === true,
    ...defined({ timeoutS: request.timeout_s }),
  });
  const warnings = [...applied.warnings];
  const gone = async (targets: readonly string[], remove: (target: string) => Promise<void>) => {
    const outcomes = await Promise.all(targets.map(async (target) => {
      try {
        await remove(target);
        return [target];
      } catch (e) {
        if (toNyxError(e).code === "not_found") return [];
        warnings.push(toNyxError(e).message);
        progress.onEvent({ event: "warning", message: toNyxError(e).message });
        return [];
      }
    }));
    return outcomes.flat();
  };
  const targets = (kind: string) => plan.steps.filter((s) => s.action === kind).map((s) => s.target);
  const networks = await gone(targets("remove-network"), (target) => engine.removeNetwork(target));
  const volumes = await gone(targets("remove-volume"), (target) => engine.removeVolume(target));
  return {
    ok: true,
    project: name,
    removed: containers.steps.flatMap((s) => s.observedId ?? []),
    removed_networks: networks,
    removed_volumes: volumes,
    removed_volume_paths: volumes.flatMap((v) => paths.get(v) ?? []),
    removed_images: await gone(images, (ref) => engine.removeImage(ref)),
    warnings,
  };
}

/** `local`: images whose service gives them no name. */
function imagesToRemove(
  plan: ComposePlan,
  loaded: ComposeProject | undefined,
  containers: readonly { id: string; labels: Record<string, string>; config: { image: string } }[],
  which: "local" | "all",
): string[] {
  const removed = new Set(plan.steps.map((s) => s.observedId));
  const used = containers.filter((c) => removed.has(c.id)).flatMap((c) => {
    const service = own(loaded?.model.services, own(c.labels, LABEL.service) ?? "");
    return which === "all" || (service !== undefined && service.image === undefined) ? [c.config.image] : [];
  });
  const defined = sortedKeys(loaded?.model.services).filter((key) =>
    which === "all" || loaded?.model.services[key]?.image === undefined
  ).map((key) => loaded === undefined ? "" : imageOf(loaded.model, key));
  return [...new Set([...used, ...defined])];
}
