/** OCI image-spec data as nyx uses it (image-spec v1.1: descriptor, index, manifest, config) and pull events. */

/** Content descriptor. `digest` has its algorithm. */
export interface Descriptor {
  /** What the content is; see {@linkcode MEDIA_TYPES}. */
  mediaType: string;
  /** Of the content's exact bytes, `sha256:` and 64 hex digits. */
  digest: string;
  /** Bytes. */
  size: number;
  /** Other places to fetch from; nyx fetches from the registry alone. */
  urls?: string[];
  /** Free annotations. */
  annotations?: Record<string, string>;
  /** In an index: what the manifest is for. */
  platform?: Platform;
  /** In an index: type of a manifest that is no image. */
  artifactType?: string;
}

/** Target of an image. */
export interface Platform {
  /** Such as linux. */
  os: string;
  /** GOARCH name, such as amd64. */
  architecture: string;
  /** Of the CPU, such as v8. */
  variant?: string;
  /** Of the operating system; Linux images have none. */
  "os.version"?: string;
}

/** Execution defaults inside an image's config document; keys as on the wire. */
export interface ImageExecConfig {
  /** user, uid, user:group or uid:gid; names are the image's. */
  User?: string;
  /** Keys such as `80/tcp`. */
  ExposedPorts?: Record<string, Record<string, never>>;
  /** NAME=VALUE. */
  Env?: string[];
  /** Program and first arguments. */
  Entrypoint?: string[];
  /** Default arguments, or the program when there is no entrypoint. */
  Cmd?: string[];
  /** Keys are directories that get a volume. */
  Volumes?: Record<string, Record<string, never>>;
  /** Absolute; made when missing. */
  WorkingDir?: string;
  /** Free labels. */
  Labels?: Record<string, string>;
  /** Name or number. */
  StopSignal?: string;
  /** Docker's extension: Test is ["NONE"], ["CMD", …] or ["CMD-SHELL", one]; durations in nanoseconds. */
  Healthcheck?: {
    Test?: string[];
    Interval?: number;
    Timeout?: number;
    StartPeriod?: number;
    StartInterval?: number;
    Retries?: number;
  };
  /** Docker's extension: what runs a command given as text. */
  Shell?: string[];
  /** Docker's extension for builds; nyx ignores it. */
  OnBuild?: string[];
}

/** One line of an image's history. */
export interface HistoryEntry {
  /** RFC 3339. */
  created?: string;
  /** Command that made the layer. */
  created_by?: string;
  /** Who made it. */
  author?: string;
  /** Free text. */
  comment?: string;
  /** The step changed no file, so no layer stands for it. */
  empty_layer?: boolean;
}

/** Image config document. */
export interface ImageConfig {
  /** RFC 3339. */
  created?: string;
  /** Who made the image. */
  author?: string;
  /** GOARCH name, such as amd64. */
  architecture: string;
  /** Such as linux. */
  os: string;
  /** Of the CPU, such as v8. */
  variant?: string;
  /** Of the operating system; Linux images have none. */
  "os.version"?: string;
  /** Defaults of execution. */
  config?: ImageExecConfig;
  /** Digests of the uncompressed layers, lowest first. */
  rootfs: { type: "layers"; diff_ids: string[] };
  /** Steps, oldest first. */
  history?: HistoryEntry[];
}

/** Image manifest (OCI or Docker schema 2). */
export interface ImageManifest {
  /** Always 2. */
  schemaVersion: 2;
  /** Required by Docker, recommended by OCI. */
  mediaType?: string;
  /** Set for what is no image; nyx refuses to run that. */
  artifactType?: string;
  /** The image config. */
  config: Descriptor;
  /** Layers, lowest first. */
  layers: Descriptor[];
  /** Free annotations. */
  annotations?: Record<string, string>;
}

/** Image index or Docker manifest list. */
export interface ImageIndex {
  /** Always 2. */
  schemaVersion: 2;
  /** Required by Docker, recommended by OCI. */
  mediaType?: string;
  /** One for each platform, in order of preference. */
  manifests: Descriptor[];
  /** Free annotations. */
  annotations?: Record<string, string>;
}

/** Login for one registry. `identityToken` is an OAuth2 refresh token in place of a password. */
export interface RegistryCredentials {
  /** User name. */
  username?: string;
  /** Password or access token. */
  password?: string;
  /** OAuth2 refresh token. */
  identityToken?: string;
}

/** One line of a pull's NDJSON stream. */
export interface PullEvent {
  /** What happened: `progress` repeats, `layer_done` ends a download, `layer` an extraction, `done` or `error` is the last. */
  phase: "begin" | "auth" | "manifest" | "config" | "progress" | "layer_done" | "layer" | "meta" | "done" | "error";
  /** The image, in full form. */
  ref?: string;
  /** What the event is about: a manifest, config or layer. */
  digest?: string;
  /** Bytes in all; missing while unknown. */
  size?: number;
  /** Bytes so far, absolute. */
  current?: number;
  /** Layer's place, from 0. */
  index?: number;
  /** Number of layers. */
  count?: number;
  /** Nothing was downloaded. */
  cached?: boolean;
  /** For a person. */
  message?: string;
}

/** Media types that nyx reads. */
export const MEDIA_TYPES = {
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
  ociLayerGzip: "application/vnd.oci.image.layer.v1.tar+gzip",
  ociLayerZstd: "application/vnd.oci.image.layer.v1.tar+zstd",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayerGzip: "application/vnd.docker.image.rootfs.diff.tar.gzip",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar",
  dockerForeignGzip: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
} as const;
