/**
 * Rows about compose and builds: one project up, up again, one service changed, down; by nyx, by Debian's docker-compose with dockerd, and
 * by podman-compose where they are installed. Each is the whole command as typed.
 */

import { alternate, judge, print, type Subject, timed } from "./measure.ts";
import { installed, type Peer, sh } from "./peers.ts";

/** What the rows need. */
export interface ComposeBench {
  image: string;
  peers: Partial<Record<"docker" | "podman", Peer>>;
  nyx: (...args: string[]) => Promise<string>;
}

type Run = (...args: string[]) => Promise<string>;

/** Five services in a chain with a healthy beginning, two networks and a volume. Stopping takes no grace: that would be measured. */
function composeFile(image: string): string {
  const service = (name: string, more: string) =>
    `  ${name}:\n    image: ${image}\n    command: ["sleep", "1000"]\n    stop_grace_period: 0s\n    networks: [back, front]\n` +
    `    environment: {VALUE: "\${VALUE:-1}", NAME: ${name}}\n${more}`;
  return `version: "2.4"\nservices:\n${service("db", "    volumes: [data:/data]\n")}` +
    service("cache", "") + service("api", "    depends_on: [db, cache]\n").replace("${VALUE:-1}", "${API:-1}") +
    service("worker", "    depends_on: [db]\n") + service("web", "    depends_on: [api]\n") +
    "networks: {back: {}, front: {}}\nvolumes: {data: {}}\n";
}

/** A podman that podman-compose can call: with the peer's own storage. */
async function podmanWrapper(dir: string, { root }: Peer): Promise<string> {
  const path = `${dir}/podman-own`;
  const flags =
    `--root ${root}/root --runroot ${root}/run --storage-driver overlay --runtime crun --cgroup-manager cgroupfs`;
  await Deno.writeTextFile(
    path,
    `#!/bin/sh\nexport CONTAINERS_CONF=${root}/containers.conf\nexec podman ${flags} "$@"\n`,
    { mode: 0o755 },
  );
  return path;
}

async function composers(b: ComposeBench, dir: string): Promise<Record<string, (env: Record<string, string>) => Run>> {
  const file = `${dir}/compose.yml`;
  const out: Record<string, (env: Record<string, string>) => Run> = {
    // The environment reaches nyx through env(1): the bench's own may not change.
    "nyx compose": (env) => (...args) => b.nyx("compose", ...envFile(dir, env), "-f", file, ...args),
  };
  const { docker, podman } = b.peers;
  if (docker !== undefined && await installed("docker-compose")) {
    const host = { DOCKER_HOST: `unix://${docker.root}/docker.sock`, COMPOSE_PROJECT_NAME: "bench" };
    out["docker-compose"] = (env) => (...args) => sh("docker-compose", ["-f", file, ...args], { ...host, ...env });
  }
  if (podman !== undefined && await installed("podman-compose")) {
    const wrapper = await podmanWrapper(dir, podman);
    out["podman-compose"] = (env) => (...args) =>
      sh("podman-compose", ["--podman-path", wrapper, "-p", "bench", "-f", file, ...args], env);
  }
  return out;
}

function envFile(dir: string, env: Record<string, string>): string[] {
  const path = `${dir}/bench.env`;
  Deno.writeTextFileSync(path, Object.entries(env).map(([k, v]) => `${k}=${v}\n`).join(""));
  return ["--env-file", path];
}

/** Up, unchanged up, one change, down. */
export async function rowCompose(b: ComposeBench, dir: string, rounds: number): Promise<void> {
  await Deno.writeTextFile(`${dir}/compose.yml`, composeFile(b.image));
  const tools = await composers(b, dir);
  const phases: Record<string, Record<string, number[]>> = {};
  const take = (phase: string, tool: string, ms: number) => ((phases[phase] ??= {})[tool] ??= []).push(ms);
  // One round more comes first and is not counted.
  for (let round = -1; round < rounds; round++) {
    for (const [tool, runner] of Object.entries(tools)) {
      const run = runner({});
      const times = {
        up: await timed(() => run("up", "-d")),
        "up of what is up": await timed(() => run("up", "-d")),
        "up with one service changed": await timed(() => runner({ API: String(round + 2) })("up", "-d")),
        down: await timed(() => run("down", "-v")),
      };
      if (round >= 0) { for (const [phase, ms] of Object.entries(times)) take(phase, tool, ms); }
    }
  }
  for (const [phase, results] of Object.entries(phases)) {
    const against = ["docker-compose"].filter((name) => name in results);
    print(judge(`compose ${phase}, five services, ms`, results, { of: "nyx compose", against, atMost: 0.3 }));
  }
}

const DOCKERFILE = (image: string, salt: string) =>
  `FROM ${image} AS made\nARG SALT=${salt}\nRUN echo $SALT > /made\nCOPY files /files\nFROM ${image}\n` +
  'COPY --from=made /made /made\nCOPY files /files\nRUN cat /made > /all\nCMD ["true"]\n';

/**
 * A build of two stages, anew and from the steps of the last one. podman is the measure: it builds with the same program, and keeps the
 * result where it was made.
 */
export async function rowBuild(b: ComposeBench, dir: string, rounds: number): Promise<void> {
  const context = `${dir}/context`;
  await Deno.mkdir(`${context}/files`, { recursive: true });
  for (let i = 0; i < 500; i++) await Deno.writeTextFile(`${context}/files/f${i}`, `${i}`.repeat(100));
  const write = () => Deno.writeTextFile(`${context}/Dockerfile`, DOCKERFILE(b.image, crypto.randomUUID()));
  const peer = (p: Peer | undefined, run: Subject) => p === undefined ? undefined : run;
  const { docker, podman } = b.peers;
  const each = (prepare: () => Promise<unknown>) => ({
    "nyx build": async () => (await prepare(), await timed(() => b.nyx("build", "-q", "-t", "bench", context))),
    docker: peer(docker, async () => {
      await prepare();
      return await timed(() => docker?.run("build", "-q", "-t", "bench", context) ?? Promise.resolve());
    }),
    podman: peer(podman, async () => {
      await prepare();
      return await timed(() =>
        podman?.run("build", "-q", "--network=none", "-t", "bench", context) ?? Promise.resolve()
      );
    }),
  });
  const anew = await alternate(each(write), rounds);
  print(
    judge("build of two stages and 500 files, ms", anew, { of: "nyx build", against: ["podman"], atMost: 1.3 }),
  );
  const again = await alternate(each(() => Promise.resolve()), rounds);
  print(judge("the same build again, ms", again, { of: "nyx build", against: ["podman"], atMost: 1.3 }));
}
