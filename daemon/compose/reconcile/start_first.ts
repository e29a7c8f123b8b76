/**
 * Replacing a container without a refused connection: the new one starts beside the old one and takes over when it is ready. Its
 * published ports go over in one step of the kernel, the names by which others find it follow, and the old one stops when its
 * connections have ended.
 */

import type { ContainerConfig, NetworkAttachment, PortMapping } from "../../spec/container.ts";
import { NyxError, toNyxError } from "../../spec/errors.ts";
import { samePort } from "../../supervisor/ports.ts";
import { defined } from "../dictionary.ts";
import type { DesiredContainer } from "../container.ts";
import { sharesHostPort } from "../plan/ports.ts";
import type { ComposeEngine, EngineContainer } from "./engine.ts";
import { asideName, type Replaced, type ReplaceOptions, withVolumesOf } from "./replacement.ts";
import { untilMet } from "./waiting.ts";

/** How long a container without a health check may take to accept connections where the one before it did. */
const LISTEN_MS = 60_000;
/** Between two looks at a port, or at the connections that are left. */
const LOOK_MS = 50;
/** Seconds of grace where neither the caller nor the container says otherwise. */
const GRACE_S = 10;

/** Published ports that go over from the old container, and those that the new one opens itself. */
function portsOf(old: ContainerConfig, desired: ContainerConfig): { moved: PortMapping[]; fresh: PortMapping[] } {
  const before = old.publish ?? [];
  const wanted = desired.publish ?? [];
  return {
    moved: before.filter((port) => wanted.some((w) => samePort(w, port))),
    fresh: wanted.filter((port) => !before.some((b) => samePort(b, port))),
  };
}

/** Why two containers of these configurations cannot be side by side. */
export function exclusive(old: ContainerConfig, desired: ContainerConfig): string | undefined {
  for (const { networks = [] } of [old, desired]) {
    if (networks.some((n) => n.ip !== undefined || n.ip6 !== undefined || n.mac !== undefined)) {
      return "it has a fixed address";
    }
  }
  const { fresh } = portsOf(old, desired);
  const port = fresh.find((f) => (old.publish ?? []).some((b) => sharesHostPort(f, b)));
  if (port !== undefined) return `port ${port.hostPort} of the host now leads to another port of the container`;
  return undefined;
}

function withoutAliases(networks: readonly NetworkAttachment[] | undefined): NetworkAttachment[] | undefined {
  return networks?.map(({ aliases: _, ...attachment }) => attachment);
}

/** Replaces by starting the new container first; while it is not ready nothing about the old one changes. */
export async function startFirst(
  engine: ComposeEngine,
  old: EngineContainer,
  desired: DesiredContainer,
  options: ReplaceOptions,
): Promise<Replaced> {
  const whole = options.renewVolumes ? desired.config : withVolumesOf(desired.config, old);
  const { moved, fresh } = portsOf(old.config, desired.config);
  const { networks, publish: _, ...rest } = whole;
  const { id, warnings } = await engine.create({
    ...rest,
    ...defined({
      name: temporaryName(desired.name),
      // Found by others when it is ready, not before.
      networks: withoutAliases(networks),
      publish: fresh.length === 0 ? undefined : fresh,
    }),
  });
  warnings.forEach(options.onWarning);
  try {
    await engine.start(id);
    await untilTakesOver(engine, old, id, moved, options.signal);
    if (moved.length > 0) await engine.movePorts(old.id, id, moved);
  } catch (e) {
    const failure = toNyxError(e);
    await engine.remove(id, false);
    failure.message += "; the container that runs was left as it is";
    throw failure;
  }
  const aside = old.name === desired.name;
  await handOver(engine, { from: old, aside }, { id, name: desired.name, networks: networks ?? [] });
  await drain(engine, old, options.timeoutS);
  await engine.stop(old.id, options.timeoutS);
  // Kept for a way back, it must not keep ports from others that the new one does not have.
  if (options.keepOld) await engine.release(old.id);
  else await engine.remove(old.id, options.renewVolumes);
  return { old, id, moved, aside };
}

/** Ready: healthy where it has a check, else accepting connections on the ports on which its predecessor does. */
export async function untilTakesOver(
  engine: ComposeEngine,
  before: Pick<EngineContainer, "id">,
  id: string,
  ports: readonly PortMapping[],
  signal: AbortSignal,
): Promise<void> {
  const check = engine.container(id)?.config.healthcheck;
  const checked = check !== undefined && check.type !== "none";
  await untilMet(engine, id, checked ? "service_healthy" : "service_started", signal);
  if (checked) return;
  const numbers = new Set(ports.filter((p) => (p.protocol ?? "tcp") === "tcp").map((p) => p.containerPort));
  for (const port of numbers) if (await engine.listening(before.id, port)) await untilListens(engine, id, port, signal);
}

async function untilListens(engine: ComposeEngine, id: string, port: number, signal: AbortSignal): Promise<void> {
  const until = performance.now() + LISTEN_MS;
  while (!await engine.listening(id, port)) {
    const now = engine.container(id);
    if (now?.status !== "running") {
      const how = now?.exitCode === undefined ? "" : ` with code ${now.exitCode}`;
      throw new NyxError(
        "failed_precondition",
        `container ${now?.name ?? id} ended${how} before it accepted connections`,
      );
    }
    if (performance.now() > until) {
      throw new NyxError(
        "failed_precondition",
        `container ${now.name} did not accept connections on port ${port} within ${
          LISTEN_MS / 1000
        } s, as the one before it does`,
      );
    }
    if (signal.aborted) throw new NyxError("canceled", `Waiting for container ${now.name} was canceled`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** Names go over: those of the service, then the container's own. */
export async function handOver(
  engine: ComposeEngine,
  { from, aside }: { from: EngineContainer; aside: boolean },
  to: { id: string; name: string; networks: readonly NetworkAttachment[] },
): Promise<void> {
  await engine.setAliases(to.id, to.networks);
  await engine.setAliases(from.id, withoutAliases(from.config.networks) ?? []);
  if (aside) await engine.rename(from.id, asideName(from));
  if (engine.container(to.id)?.name !== to.name) await engine.rename(to.id, to.name);
}

/** Waits until nobody is connected any more, at most as long as its grace. */
export async function drain(engine: ComposeEngine, from: EngineContainer, timeoutS: number | undefined): Promise<void> {
  const graceS = timeoutS ?? from.config.stopTimeoutS ?? GRACE_S;
  const until = performance.now() + Math.max(0, graceS) * 1000;
  while (performance.now() < until && await engine.openConnections(from.id) > 0) {
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** A name that no other container has, also not one that a crash left. */
function temporaryName(name: string): string {
  return `${crypto.randomUUID().slice(0, 8)}_${name}`.slice(0, 128);
}
