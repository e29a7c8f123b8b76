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
export * from "./daemon/spec/frames.ts";
