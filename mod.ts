/**
 * nyx: a single-host container engine. This module is the public surface: error family, types of the API and version.
 * Importing it has no side effect.
 *
 * @module
 */

export * from "./daemon/spec/errors.ts";
export * from "./daemon/spec/container.ts";
export * from "./daemon/spec/image.ts";
export * from "./daemon/spec/api.ts";
export type {
  ComposeDependency,
  ComposeDiagnostic,
  ComposePlan,
  FieldChange,
  PlanAction,
  PlanStep,
  PlanWait,
} from "./daemon/spec/compose.ts";
export * from "./daemon/spec/build.ts";
export * from "./daemon/spec/compose_api.ts";
export * from "./daemon/spec/frames.ts";
export { type ClientOptions, NyxClient } from "./daemon/client/client.ts";
export type { BuildCalls, BuildUpload } from "./daemon/client/build.ts";
export type { ComposeCalls, ComposeFollow } from "./daemon/client/compose.ts";
export type { Abortable, ContainerCalls } from "./daemon/client/containers.ts";
export type { ImageCalls } from "./daemon/client/images.ts";
export type { NetworkCalls } from "./daemon/client/networks.ts";
export type { EventQuery, SystemCalls } from "./daemon/client/system.ts";
export type { VolumeCalls } from "./daemon/client/volumes.ts";
export type { AttachedOutput, AttachedStream } from "./daemon/client/stream.ts";
export { DEFAULT_SOCKET } from "./daemon/client/transport.ts";
