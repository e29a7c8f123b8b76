/** The architecture kit as data: canonical ids, edges and labels that docs, diagrams and traces use. */

/** Nodes of the context diagram. */
export const CONTEXT_NODES: Record<string, string> = {
  USER: "Operator",
  NYX: "nyx CLI",
  NYXD: "nyxd daemon",
  CRUN: "crun",
  REGISTRY: "OCI registry",
  KERNEL: "Linux kernel features",
  CNI_PLUGINS: "CNI plugins",
  DATA_STORE: "nyxd data directory",
};

/** An edge: id, from, to, label. */
export type Edge = readonly [id: string, from: string, to: string, label: string];

/** Edges of the context diagram. */
export const CONTEXT_EDGES: readonly Edge[] = [
  ["E01", "USER", "NYX", "CLI invocation"],
  ["E02", "NYX", "NYXD", "HTTP over unix socket"],
  ["E03", "NYXD", "CRUN", "process exec"],
  ["E04", "NYXD", "REGISTRY", "HTTPS, manifest and blob pulls"],
  ["E05", "NYXD", "KERNEL", "syscalls and net tools"],
  ["E06", "NYXD", "CNI_PLUGINS", "CNI exec, ADD/DEL"],
  ["E07", "NYXD", "DATA_STORE", "filesystem IO"],
];

/** Components of the daemon. */
export const COMPONENTS: Record<string, string> = {
  D01: "Control API",
  D02: "Supervisor",
  D03: "Compose Builder",
  D04: "Image Store and Puller",
  D05: "Overlay Manager",
  D06: "Bundle Generator",
  D07: "Runtime Adapter",
  D08: "Network Backend",
  D09: "DNS Backend",
  D10: "Health Subsystem",
  D11: "Log Collector",
  D12: "Persist and Reconcile",
};

/** Edges between components. */
export const COMPONENT_EDGES: readonly Edge[] = [
  ["E20", "D01", "D03", "compose endpoints build service specs"],
  ["E21", "D01", "D02", "run/stop/remove/compose lifecycle"],
  ["E22", "D01", "D04", "pull/list/remove/prune"],
  ["E23", "D03", "D04", "ensure images exist"],
  ["E24", "D03", "D02", "submit ordered desired specs"],
  ["E25", "D02", "D05", "prepare and tear down rootfs"],
  ["E26", "D02", "D08", "set up and tear down network"],
  ["E27", "D02", "D06", "build OCI bundle"],
  ["E28", "D02", "D07", "runtime lifecycle"],
  ["E29", "D02", "D10", "readiness and health"],
  ["E30", "D02", "D11", "attach and stream logs"],
  ["E31", "D02", "D12", "persist and reconcile"],
  ["E32", "D02", "D09", "register and deregister DNS records"],
];

/** Steps of `nyx run`. */
export const RUN_STEPS: readonly Edge[] = [
  ["R01", "USER", "NYX", "run <image>"],
  ["R02", "NYX", "D01", "POST /v1/containers/run"],
  ["R03", "D01", "D04", "resolve or pull"],
  ["R04", "D01", "D02", "build ContainerSpec, request start"],
  ["R05", "D02", "D05", "overlay rootfs"],
  ["R06", "D02", "D08", "netns and ports"],
  ["R07", "D02", "D06", "config.json"],
  ["R08", "D02", "D07", "launch through crun"],
  ["R09", "D02", "D11", "log streaming"],
  ["R10", "D02", "D10", "readiness and health"],
  ["R11", "D01", "NYX", "result or stream"],
  ["R12", "D02", "D12", "persist"],
];

/** Steps of `nyx compose up`. */
export const COMPOSE_STEPS: readonly Edge[] = [
  ["C01", "USER", "NYX", "compose up"],
  ["C02", "NYX", "D01", "POST /v1/compose/up"],
  ["C03", "D01", "D03", "parse, validate, interpolate"],
  ["C04", "D03", "D04", "resolve or pull images"],
  ["C05", "D03", "D02", "submit dependency-ordered specs"],
  ["C06", "D02", "D02", "reconcile per service: keep, recreate or start"],
  ["C07", "D02", "D07", "restart changed services"],
  ["C08", "D01", "NYX", "started/reconciled container ids"],
];

/** Data layout: path below the base directory, what it holds, who owns it. */
export const DATA: readonly (readonly [path: string, holds: string, owners: readonly string[]])[] = [
  ["images/blobs/sha256/*", "blobs", ["D04"]],
  ["images/images/<repo>/<tag>/", "manifest and config", ["D04"]],
  ["overlay/<id>/", "layers and merged rootfs", ["D05"]],
  ["bundles/<id>/config.json", "OCI runtime configuration", ["D06"]],
  ["bundles/<id>/nyxd-meta.json", "re-adoption metadata", ["D02"]],
  ["supervisor/containers/<id>.json", "supervision record", ["D12"]],
  ["run/crun/", "runtime state root", ["D07", "CRUN"]],
  ["logs/<id>.log", "JSONL stream", ["D11"]],
];
