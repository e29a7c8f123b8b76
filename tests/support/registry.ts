/** Debian's docker-registry as a real peer for tests: started on a free loopback port with storage of its own. */

import { strict as assert } from "node:assert";

/** Token authentication as docker-registry's `auth: token` wants it (distribution spec, token authentication). */
export interface TokenAuth {
  /** URL of the token server, put into the challenge. */
  realm: string;
  /** Audience. */
  service: string;
  /** Who signs. */
  issuer: string;
  /** PEM file with the signing certificate. */
  rootCertBundle: string;
}

/** Options of {@linkcode startRegistry}. */
export interface RegistryOptions {
  /**
   * `none` (default); `basic` accepts {@linkcode BASIC_USER} with {@linkcode BASIC_PASSWORD}; or a token server's data.
   */
  auth?: "none" | "basic" | { token: TokenAuth };
  /** Storage directory to use and keep; without it a temporary one is made and removed at the end. */
  storage?: string;
  /** Where the temporary directory is made; default is the system's. `/dev/shm` keeps a benchmark off the disk. */
  tempDir?: string;
  /** Port on 127.0.0.1; default is any free one. */
  port?: number;
}

/** A registry under way. Dispose it with `await using` or {@linkcode Registry.stop}. */
export interface Registry extends AsyncDisposable {
  /** `127.0.0.1:port`. */
  readonly host: string;
  readonly port: number;
  /** Storage directory (docker/registry/v2 lies below it). */
  readonly storage: string;
  /** What it wrote to its log so far. */
  log(): string;
  /** Path of a blob's file in the storage. */
  blobPath(digest: string): string;
  /** Ends the process and removes what was made. Idempotent. */
  stop(): Promise<void>;
}

/** User that `auth: "basic"` accepts. */
export const BASIC_USER = "alice";
/** Password of {@linkcode BASIC_USER}. */
export const BASIC_PASSWORD = "s3cret:with colon";

/** An htpasswd line; bcrypt comes from libcrypt through perl, which is part of every Debian. */
function htpasswdLine(user: string, password: string): string {
  const { stdout, success } = new Deno.Command("perl", {
    args: ["-e", "print crypt($ARGV[0], q($2y$05$abcdefghijklmnopqrstuu))", password],
  }).outputSync();
  assert.ok(success, "perl could not make a bcrypt hash");
  return `${user}:${new TextDecoder().decode(stdout)}\n`;
}

function authConfig(auth: RegistryOptions["auth"], workDir: string): Record<string, unknown> {
  if (auth === undefined || auth === "none") return {};
  if (auth === "basic") {
    const path = `${workDir}/htpasswd`;
    Deno.writeTextFileSync(path, htpasswdLine(BASIC_USER, BASIC_PASSWORD));
    return { auth: { htpasswd: { realm: "nyx tests", path } } };
  }
  const { realm, service, issuer, rootCertBundle } = auth.token;
  return { auth: { token: { realm, service, issuer, rootcertbundle: rootCertBundle } } };
}

/** Reads the log until the registry says which port it got. */
async function watchLog(child: Deno.ChildProcess, lines: string[]): Promise<{ port: number; ended: Promise<void> }> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const ended = (async () => {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) {
      lines.push(text);
      const match = /listening on 127\.0\.0\.1:(\d+)/.exec(lines.join(""));
      if (match !== null) resolve(Number(match[1]));
      if (lines.length > 4000) lines.splice(0, 2000);
    }
    reject(new Error(`docker-registry ended before it listened: ${lines.join("")}`));
  })();
  return { port: await promise, ended };
}

/**
 * Starts docker-registry on 127.0.0.1 and waits until it listens.
 *
 * Push to it with `skopeo copy --dest-tls-verify=false oci:dir:tag docker://${registry.host}/name:tag`.
 *
 * @param options authentication and storage
 */
export async function startRegistry(options: RegistryOptions = {}): Promise<Registry> {
  const { auth, storage: givenStorage, tempDir, port: givenPort = 0 } = options;
  const workDir = await Deno.makeTempDir({
    prefix: "nyx-registry-",
    ...(tempDir === undefined ? {} : { dir: tempDir }),
  });
  const storage = givenStorage ?? `${workDir}/storage`;
  await Deno.mkdir(storage, { recursive: true });
  const config = {
    version: "0.1",
    log: { level: "info", accesslog: { disabled: false } },
    storage: {
      filesystem: { rootdirectory: storage },
      delete: { enabled: true },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: { addr: `127.0.0.1:${givenPort}`, secret: "nyx-tests" },
    ...authConfig(auth, workDir),
  };
  const configPath = `${workDir}/config.yml`;
  await Deno.writeTextFile(configPath, JSON.stringify(config));
  const child = new Deno.Command("docker-registry", {
    args: ["serve", configPath],
    stdin: "null",
    stdout: "null",
    stderr: "piped",
    clearEnv: true,
    env: { PATH: "/usr/bin:/bin", OTEL_TRACES_EXPORTER: "none" },
  }).spawn();
  const lines: string[] = [];
  let stopped: Promise<void> | undefined;
  const stop = (ended?: Promise<void>): Promise<void> =>
    stopped ??= (async () => {
      try {
        child.kill("SIGKILL");
      } catch { /* it has ended by itself */ }
      await child.status;
      await ended?.catch(() => {});
      await Deno.remove(workDir, { recursive: true });
    })();
  try {
    const { port, ended } = await watchLog(child, lines);
    ended.catch(() => {});
    return {
      host: `127.0.0.1:${port}`,
      port,
      storage,
      log: () => lines.join(""),
      blobPath: (digest) => {
        const [algorithm = "", encoded = ""] = digest.split(":");
        return `${storage}/docker/registry/v2/blobs/${algorithm}/${encoded.slice(0, 2)}/${encoded}/data`;
      },
      stop: () => stop(ended),
      [Symbol.asyncDispose]: () => stop(ended),
    };
  } catch (e) {
    await stop();
    throw e;
  }
}

/**
 * Pushes an image with skopeo and fails with skopeo's own words.
 *
 * @param source skopeo transport name, such as `oci:/dir:tag`
 * @param target `host/name:tag`
 * @param options extra skopeo arguments (such as `--all`), and credentials as `user:password`
 */
export async function pushImage(
  source: string,
  target: string,
  options: { args?: string[]; credentials?: string } = {},
): Promise<void> {
  const { args = [], credentials } = options;
  const { success, stderr } = await new Deno.Command("skopeo", {
    args: [
      "--insecure-policy",
      "copy",
      "--quiet",
      "--dest-tls-verify=false",
      ...(credentials === undefined ? [] : ["--dest-creds", credentials]),
      ...args,
      source,
      `docker://${target}`,
    ],
    stdout: "null",
    stderr: "piped",
  }).output();
  assert.ok(success, `skopeo could not push ${source} to ${target}: ${new TextDecoder().decode(stderr)}`);
}
