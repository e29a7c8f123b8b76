/**
 * The main job, shown step by step without a registry: an image made of Debian's static busybox is loaded into a scratch
 * nyxd, a container prints, another publishes a port and answers on it, nyxd is killed under it and takes it over again.
 *
 * Run as root by `deno task demo`. Exit code 1 when a step does not do what it should.
 */

import { cacheModules, installPackages, RUNTIME_PACKAGES } from "../setup.ts";
import { type Nyxd, startNyxd } from "../support/daemon.ts";
import { buildImage, busyboxLayer, tar, type TarEntry } from "../support/oci.ts";

const IMAGE = "nyx.local/demo:latest";
const PAGE = "Hello from a container that nyx runs.\n";

const plain = Deno.noColor || !Deno.stdout.isTerminal();
const paint = (code: string, text: string) => (plain ? text : `\x1b[${code}m${text}\x1b[0m`);
const began = performance.now();

/** Prints one step: ids of the architecture kit, what happens. */
function step(ids: string, what: string): void {
  const at = `${((performance.now() - began) / 1000).toFixed(2)} s`.padStart(7);
  console.log(`\n${paint("2", at)}  ${paint("1;36", ids.padEnd(8))} ${paint("1", what)}`);
}

function show(text: string): void {
  for (const line of text.trimEnd().split("\n")) console.log(`${" ".repeat(18)} ${paint("32", line)}`);
}

function fail(message: string): never {
  throw new Error(message);
}

/** Runs a `nyx` command as a user would, and shows it. */
async function nyx(daemon: Nyxd, ...args: string[]): Promise<string> {
  console.log(
    `${" ".repeat(18)} ${paint("33", `$ nyx ${args.map((a) => (/[\s$]/.test(a) ? `'${a}'` : a)).join(" ")}`)}`,
  );
  const { code, stdout, stderr } = await daemon.nyx(args);
  if (stdout !== "") show(stdout);
  if (code !== 0) fail(`nyx ${args[0]} ended with ${code}: ${stderr}`);
  return stdout.trim();
}

/** Entries of an OCI archive made from a layout directory. */
function layoutEntries(dir: string, below = ""): TarEntry[] {
  return [...Deno.readDirSync(`${dir}/${below}`)].flatMap((entry): TarEntry[] => {
    const path = below === "" ? entry.name : `${below}/${entry.name}`;
    return entry.isDirectory ? layoutEntries(dir, path) : [{ path, data: Deno.readFileSync(`${dir}/${path}`) }];
  });
}

/** Writes the embedded default image as an OCI archive. */
function writeImage(dir: string): { path: string; bytes: number } {
  const www: TarEntry[] = [{ path: "www/" }, { path: "www/index.html", data: PAGE }];
  const config = {
    Cmd: ["sh", "-c", "echo The page is served on port 80; exec httpd -f -p 80 -h /www"],
    Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    ExposedPorts: { "80/tcp": {} as Record<string, never> },
  };
  buildImage({ layers: [busyboxLayer(), www], config, dir: `${dir}/layout`, tag: IMAGE });
  const archive = tar(layoutEntries(`${dir}/layout`));
  Deno.writeFileSync(`${dir}/demo.tar`, archive);
  return { path: `${dir}/demo.tar`, bytes: archive.byteLength };
}

function freePort(): number {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  return listener.addr.port;
}

/** Asks the published port until it answers. */
async function ask(port: number): Promise<string> {
  for (let i = 0; i < 100; i++) {
    try {
      return await (await fetch(`http://127.0.0.1:${port}/`)).text();
    } catch {
      await new Promise((r) => setTimeout(r, 20));
    }
  }
  return fail(`Nothing answers on 127.0.0.1:${port}`);
}

async function demo(dir: string): Promise<void> {
  step("", "The embedded image: Debian's static busybox and a page for its web server");
  const { path, bytes } = writeImage(dir);
  show(`${path}, ${(bytes / 1e6).toFixed(1)} MB`);

  step("NYXD", "nyxd starts in a scratch directory, under its real permission flags");
  const first = await startNyxd({ baseDir: `${dir}/base`, logLevel: "warn" });
  let daemon = first;
  try {
    show(`pid ${daemon.pid}, bridge ${daemon.bridge}, subnet ${daemon.prefix}.0/24`);
    step("R03", "The image is loaded: digests checked, layers unpacked side by side");
    await nyx(daemon, "load", "-i", path);
    step("R01-R12", "A container prints and returns its exit code");
    await nyx(daemon, "run", "--rm", IMAGE, "sh", "-c", 'echo "$(id -un) on $(hostname), kernel $(uname -r)"');

    step("R06", "A container publishes a port and answers on it");
    const port = freePort();
    await nyx(daemon, "run", "-d", "--name", "web", "-p", `127.0.0.1:${port}:80`, IMAGE);
    const answer = await ask(port);
    if (answer !== PAGE) fail(`The page is ${JSON.stringify(answer)}`);
    show(`GET http://127.0.0.1:${port}/ → ${answer}`);
    await nyx(daemon, "ps");

    step("D12", "kill -9 of nyxd: the container goes on, and the next nyxd takes it over");
    await daemon.stop("SIGKILL");
    show(`nyxd is dead; GET http://127.0.0.1:${port}/ → ${await ask(port)}`);
    daemon = await startNyxd({ baseDir: first.baseDir, slot: first.slot, logLevel: "warn" });
    await nyx(daemon, "exec", "web", "ps");
    await nyx(daemon, "logs", "--tail", "2", "web");

    step("E21", "It is stopped and removed; nothing stays behind");
    await nyx(daemon, "stop", "-t", "1", "web");
    await nyx(daemon, "rm", "web");
    await nyx(daemon, "ps", "-a");
  } finally {
    await daemon[Symbol.asyncDispose]();
  }
}

await installPackages(RUNTIME_PACKAGES);
await cacheModules();
const dir = Deno.makeTempDirSync({ prefix: "nyx-demo-" });
try {
  await demo(dir);
  step("", "Done. `deno task install` puts nyx and nyxd on PATH.");
} catch (e) {
  console.error(`\n${paint("1;31", "The demo failed:")} ${e instanceof Error ? e.message : String(e)}`);
  Deno.exitCode = 1;
} finally {
  Deno.removeSync(dir, { recursive: true });
}
