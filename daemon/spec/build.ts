/** Types of image builds over the Control API. */

import type { RegistryCredentials } from "./image.ts";

/** A secret that RUN --mount=type=secret may read. */
export interface BuildSecret {
  /** As the Dockerfile names it. */
  id: string;
  /** Base64. */
  content: string;
}

/** An agent or key that RUN --mount=type=ssh may use. */
export interface BuildSsh {
  /** As the Dockerfile names it; `default` where it names none. */
  id: string;
  /** Private key, base64. Without one the client's agent is asked, over `channel` frames. */
  key?: string;
}

/** A name that COPY --from and FROM may use beside images. */
export interface BuildContext {
  /** As the Dockerfile names it. */
  name: string;
  /** An image in its place; without it a directory that comes with the upload. */
  image?: string;
}

/**
 * First frame of `POST /v1/build`. What follows as standard input is one tar: the context below `0/`, and the directories of `contexts`,
 * in their order, below `1/`, `2/` and so on. The daemon reads no other files of the host.
 */
export interface BuildRequest {
  /** Text of the Dockerfile. */
  dockerfile: string;
  /** Names for the image; without any it is untagged. */
  tags?: string[];
  /** Build arguments. */
  args?: Record<string, string>;
  /** Last stage wanted; default the file's last. */
  target?: string;
  /** Such as linux/arm64; default the daemon's own. */
  platform?: string;
  /** Labels of the image. */
  labels?: Record<string, string>;
  /** Network of RUN: default, none, host, or the name of a network. */
  network?: string;
  /** Use no step of an earlier build. */
  no_cache?: boolean;
  /** Look for newer base images. */
  pull?: boolean;
  /** `name:ip` or `name=ip` lines of /etc/hosts in RUN. */
  extra_hosts?: string[];
  /** Bytes of /dev/shm in RUN. */
  shm_size_bytes?: number;
  /** Limits in RUN, `name=soft:hard`. */
  ulimits?: string[];
  /** All capabilities in RUN. */
  privileged?: boolean;
  /** Secrets. */
  secrets?: BuildSecret[];
  /** Agents and keys. */
  ssh?: BuildSsh[];
  /** Images whose steps may be used again. */
  cache_from?: string[];
  /** Further contexts. */
  contexts?: BuildContext[];
  /** Whether a tar follows; without one the context is empty. */
  upload?: boolean;
  /** Credentials of base images, by reference as the Dockerfile has it. */
  credentials?: Record<string, RegistryCredentials>;
}

/** What a build gave. */
export interface BuildResult {
  /** Id of the image. */
  id: string;
  /** Its names, canonical. */
  refs: string[];
}

/** POST /v1/build/prune. */
export interface BuildPruneResult {
  /** Always true. */
  ok: true;
  /** Bytes freed. */
  reclaimed: number;
}
