/** Version of nyx: the one in deno.json, as a constant, so that `nyx --version` reads no file. */

/** Semantic version, without a leading v. */
export const VERSION = "0.1.0";
/** Version of the HTTP API, the first part of every route. */
export const API_VERSION = "1";
