import assert from "node:assert/strict";
import { startWorld } from "../support/world.ts";
import { startNyxd } from "../support/daemon.ts";
import { buildImage, pushLayout } from "../support/oci.ts";

async function sh(command: string): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("sh", { args: ["-c", command] }).output();
  assert.ok(success, `${command}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

Deno.test("nyx image: tag, save, rm, load give the same image back, and skopeo reads the archive", async () => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  const nyx = async (...args: string[]) => {
    const r = await nyxd.nyx(args);
    assert.equal(r.code, 0, `${args.join(" ")}: ${r.stderr}`);
    return r.stdout;
  };
  await nyx("tag", image, "example.test/app:v1");
  const id = (await nyx("image", "inspect", "-f", "{{.Id}}", "example.test/app:v1")).trim();
  for (const format of ["docker-archive", "oci-archive"]) {
    await nyx("save", "--format", format, "-o", `${dir}/${format}.tar`, "example.test/app:v1");
    const config = JSON.parse(await sh(`skopeo inspect --config --raw ${format}:${dir}/${format}.tar`));
    assert.deepEqual(config.config.Cmd, ["sh"]);
    await nyx("rmi", "example.test/app:v1");
    await nyx("rmi", "-f", image);
    assert.equal(await nyx("image", "ls", "-q"), "");
    assert.match(await nyx("load", "-i", `${dir}/${format}.tar`), /example\.test\/app:v1/);
    assert.equal((await nyx("image", "inspect", "-f", "{{.Id}}", "example.test/app:v1")).trim(), id);
    assert.equal(
      (await nyxd.nyx(["run", "--rm", "--pull", "never", "example.test/app:v1", "echo", "runs"])).stdout,
      "runs\n",
    );
    await nyx("pull", "-q", image);
  }
  assert.match(await nyx("image", "history", image), /test layer 0/);
});

Deno.test("nyx system df: agrees with du within 1 %, also after removals", async () => {
  await using world = await startWorld();
  const { nyxd, image, registry, dir } = world;
  const big = crypto.getRandomValues(new Uint8Array(65536));
  const files = Array.from({ length: 80 }, (_, i) => ({ path: `f${i}`, data: big.slice(i) }));
  buildImage({ layers: [files], dir: `${dir}/big` });
  const ref = `127.0.0.1:${registry.port}/big:latest`;
  await pushLayout(`${dir}/big`, "latest", ref);
  await nyxd.client.images.pull({ ref });
  const { id } = await nyxd.client.containers.run({
    image,
    args: ["sh", "-c", "head -c 3000000 /dev/urandom > /x; sleep 100"],
  });
  await new Promise((r) => setTimeout(r, 500));
  const agree = async () => {
    const { total, rows } = await nyxd.client.system.df();
    const du = Number((await sh(`du -s -x -B1 ${nyxd.baseDir} --exclude=merged --exclude=netns`)).split("\t")[0]);
    assert.ok(Math.abs(total - du) <= du * 0.01, `df ${total}, du ${du}`);
    return rows;
  };
  const before = await agree();
  assert.ok((before.find((r) => r.type === "containers")?.size ?? 0) >= 3_000_000);
  await nyxd.client.containers.remove(id, { force: true });
  await nyxd.client.images.remove(ref);
  const after = await agree();
  const size = (rows: typeof after) => rows.find((r) => r.type === "images")?.size ?? 0;
  assert.ok(size(before) - size(after) >= 80 * 65536, "the layer and the blob are gone");
});

Deno.test("nyx image prune: --dry-run tells and keeps, an image of a container is kept, a moved tag leaves a prunable one", async () => {
  await using world = await startWorld();
  const { nyxd, image, registry, dir } = world;
  const { client } = nyxd;
  const ref = `127.0.0.1:${registry.port}/moving:latest`;
  const push = async (text: string) => {
    buildImage({ layers: [[{ path: "version", data: text }]], dir: `${dir}/m-${text}` });
    await pushLayout(`${dir}/m-${text}`, "latest", ref);
    return (await client.images.pull({ ref })).id;
  };
  const old = await push("one");
  const now = await push("two");
  assert.notEqual(old, now);
  const { id } = await client.containers.create({ image });
  const dry = await client.images.prune({ dryRun: true, all: true });
  assert.ok(dry.removed.length >= 1 && dry.in_use.length >= 1);
  assert.equal((await client.images.list()).length, 3);
  const real = await client.images.prune({ all: false });
  assert.ok(real.removed.some((r) => old.includes(r)), JSON.stringify(real));
  await client.images.inspect(now);
  await assert.rejects(client.images.remove(image), { code: "failed_precondition" });
  await client.containers.remove(id);
});

Deno.test("nyx pull: killed with kill -9 in the middle, the next one resumes and no half image is ever used", async () => {
  await using world = await startWorld();
  const { nyxd, registry, dir } = world;
  const noise = new Uint8Array(48 * 1024 * 1024);
  for (let i = 0; i < noise.length; i += 65536) crypto.getRandomValues(noise.subarray(i, i + 65536));
  buildImage({ layers: [[{ path: "noise", data: noise }]], dir: `${dir}/noise` });
  const ref = `127.0.0.1:${registry.port}/noise:latest`;
  await pushLayout(`${dir}/noise`, "latest", ref);
  const pulling = nyxd.client.images.pull({ ref }).then(() => "done", () => "cut");
  await new Promise((r) => setTimeout(r, 120));
  await nyxd.stop("SIGKILL");
  await pulling;
  await using next = await startNyxd({ baseDir: nyxd.baseDir, slot: nyxd.slot });
  await next.client.images.pull({ ref });
  const r = await next.nyx([
    "run",
    "--rm",
    "-v",
    "/bin/busybox:/busybox:ro",
    "--entrypoint",
    "/busybox",
    ref,
    "wc",
    "-c",
    "/noise",
  ]);
  assert.equal(r.stdout, `${noise.length} /noise\n`, r.stderr);
});
