/** The supervision record of one container: desired spec, resolved facts, observed state. Version, parse and migration. */

import type { NetworkResult } from "../../workers/protocol.ts";
import type { HealthResult, HealthStatus } from "../spec/api.ts";
import { CONTAINER_ID, type ContainerConfig, type ContainerStatus, type PortMapping } from "../spec/container.ts";
import { NyxError } from "../spec/errors.ts";
import type { ImageExecConfig } from "../spec/image.ts";

/** Version written by this program. */
export const RECORD_VERSION = 1;

/** The image a container was made from; kept so that a moved tag changes nothing for it. */
export interface RecordedImage {
  /** Reference as typed. */
  ref: string;
  /** Config digest. */
  id: string;
  manifestDigest: string;
  /** diffIDs, bottom first. */
  layers: string[];
  exec: ImageExecConfig;
}

/** A mount as the container has it. */
export interface RecordedMount {
  type: "bind" | "volume" | "tmpfs";
  /** Volume name. */
  name?: string;
  source: string;
  target: string;
  options: string[];
  /** Made for this container alone; goes with `rm -v`, and with `--rm`. */
  anonymous: boolean;
}

/** What happened to the container so far. */
export interface RecordedState {
  status: ContainerStatus;
  pid: number;
  exitCode?: number;
  oomKilled: boolean;
  error?: string;
  startedAt?: string;
  finishedAt?: string;
  /** Restarts by policy over its whole life. */
  restartCount: number;
  /** Restarts since it was last stable: drives back-off and on-failure:N. */
  attempts: number;
  /** When the next attempt is due, while restarting. */
  nextRestartAt?: string;
  /** Lines of output that could not be logged. */
  logDropped?: number;
  /** A user asked for it to be down. */
  stoppedByUser: boolean;
  health?: { status: HealthStatus; failingStreak: number; log: HealthResult[] };
}

/** Everything about one container. `netNS`, `ip`, `bundleDir`, `rootFS` keep the names that nyxd's users know. */
export interface ContainerRecord {
  v: number;
  id: string;
  name: string;
  created: string;
  spec: ContainerConfig;
  image: RecordedImage;
  hostname: string;
  mounts: RecordedMount[];
  ports: Required<PortMapping>[];
  network?: NetworkResult;
  netNS?: string;
  ip?: string;
  bundleDir: string;
  rootFS: string;
  cgroup?: string;
  argv: string[];
  stopSignal: string;
  warnings: string[];
  state: RecordedState;
}

/** Upgrades by version: number n turns a record of version n into one of n + 1. */
export type Migrations = Readonly<Record<number, (r: Record<string, unknown>) => Record<string, unknown>>>;

/** Those of this program. Version 1 is the first. */
const MIGRATIONS: Migrations = {};

/**
 * Brings a record to a version, step by step.
 *
 * @throws NyxError failed_precondition for a version that is newer, or so old that no step leads on from it
 */
export function migrateRecord(
  record: Record<string, unknown>,
  { migrations, version }: { migrations: Migrations; version: number } = {
    migrations: MIGRATIONS,
    version: RECORD_VERSION,
  },
): Record<string, unknown> {
  let value = record;
  while (value["v"] !== version) {
    const from = value["v"] as number;
    const migrate = from < version ? migrations[from] : undefined;
    if (migrate === undefined) {
      throw new NyxError(
        "failed_precondition",
        `Could not read a container record of version ${from}: this nyxd knows version ${version}; run the nyxd that wrote it, ` +
          "or a newer one",
      );
    }
    value = { ...migrate(value), v: from + 1 };
  }
  return value;
}

/**
 * Reads a record from JSON text, migrating older versions.
 *
 * @throws NyxError data_loss when it is not a record; failed_precondition when it is of a version that this program does not know
 */
export function parseRecord(text: string): ContainerRecord {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text);
  } catch (e) {
    throw new NyxError("data_loss", "Could not read a container record: it is not JSON", { cause: e });
  }
  if (typeof value !== "object" || value === null || typeof value["v"] !== "number") {
    throw new NyxError("data_loss", "Could not read a container record: it has no version");
  }
  value = migrateRecord(value);
  const record = value as unknown as ContainerRecord;
  const whole = typeof record.id === "string" && CONTAINER_ID.test(record.id) && typeof record.name === "string" &&
    typeof record.spec === "object" && record.spec !== null && typeof record.image?.id === "string" &&
    Array.isArray(record.image.layers) && typeof record.state?.status === "string" && Array.isArray(record.mounts);
  if (!whole) throw new NyxError("data_loss", "Could not read a container record: fields are missing");
  return record;
}
