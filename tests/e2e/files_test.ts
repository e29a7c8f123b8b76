import assert from "node:assert/strict";
import { startWorld } from "../support/world.ts";
import { untilTrue } from "../support/truth.ts";

const read = (path: string) => Deno.readTextFileSync(path);

Deno.test("nyx cp: files, directories, contents, renames and streams, both ways, of running and stopped containers", async () => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  const { id } = await nyxd.client.containers.run({
    image,
    mounts: [{ type: "volume", source: "data", target: "/data" }],
    args: ["sh", "-c", "mkdir -p /w/sub; echo one > /w/a; echo two > /w/sub/b; ln -s a /w/link; sleep 100"],
  });
  const ok = async (...args: string[]) => {
    const result = await nyxd.nyx(["cp", ...args]);
    assert.equal(result.code, 0, `${args.join(" ")}: ${result.stderr}`);
  };
  const out = `${dir}/out`;
  Deno.mkdirSync(out);
  await ok(`${id}:/w`, out);
  assert.deepEqual([read(`${out}/w/a`), read(`${out}/w/sub/b`), Deno.readLinkSync(`${out}/w/link`)], [
    "one\n",
    "two\n",
    "a",
  ]);
  await ok(`${id}:/w/a`, `${out}/renamed`);
  await ok(`${id}:/w/.`, `${out}/fresh`);
  await ok("-L", `${id}:/w/link`, `${out}/followed`);
  assert.deepEqual([read(`${out}/renamed`), read(`${out}/fresh/sub/b`), read(`${out}/followed`)], [
    "one\n",
    "two\n",
    "one\n",
  ]);
  // In: into a directory, under a new name, into a volume; owner root unless -a.
  Deno.writeTextFileSync(`${dir}/in`, "inward\n");
  Deno.chownSync(`${dir}/in`, 1234, 1234);
  await ok(`${dir}/in`, `${id}:/w`);
  await ok(`${dir}/in`, `${id}:/data/named`);
  await ok("-a", `${dir}/in`, `${id}:/w/mine`);
  await ok(`${out}/w`, `${id}:/w/copy`);
  const seen = await nyxd.nyx([
    "exec",
    id,
    "sh",
    "-c",
    "cat /w/in /data/named /w/copy/sub/b; stat -c %u /w/in /w/mine",
  ]);
  assert.equal(seen.stdout, "inward\ninward\ntwo\n0\n1234\n", seen.stderr);
  // A stopped one, with a path in its volume; nothing stays mounted.
  await nyxd.client.containers.stop(id, { timeoutS: 0 });
  await ok(`${id}:/data/named`, `${out}/volume`);
  await ok(`${dir}/in`, `${id}:/w/later`);
  await ok(`${id}:/w/later`, `${out}/later`);
  assert.deepEqual([read(`${out}/volume`), read(`${out}/later`)], ["inward\n", "inward\n"]);
  assert.deepEqual(await untilTrue(nyxd), []);
  const missing = await nyxd.nyx(["cp", `${id}:/nowhere`, out]);
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /no "\/nowhere"/);
});

Deno.test("an attacker swaps a directory for a link to the host's files while others copy: nothing outside is read or written", async () => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  const secret = `${dir}/secret`;
  Deno.mkdirSync(secret);
  Deno.writeTextFileSync(`${secret}/file`, "of the host\n");
  const swap = `mkdir -p /real; echo inside > /real/file; ln -s ${secret} /evil; i=0; ` +
    "while :; do rm -rf /x; ln -s /evil /x; rm -f /x; cp -r /real /x; done";
  const { id } = await nyxd.client.containers.run({ image, args: ["sh", "-c", swap] });
  const until = Date.now() + 2500;
  let reads = 0;
  // On a loaded machine the path is there less often.
  while (Date.now() < until || (reads <= 3 && Date.now() < until + 20_000)) {
    const bytes: Uint8Array[] = [];
    try {
      for await (const b of nyxd.client.containers.readArchive(id, "/x/file", { follow: true })) bytes.push(b);
      reads++;
    } catch {
      // The path was not there at that moment.
    }
    assert.ok(!bytes.some((b) => new TextDecoder().decode(b).includes("of the host")), "a host file was read");
    const up = await tarOf("file", "from the attacker\n");
    await nyxd.client.containers.writeArchive(id, "/x", up).catch(() => {});
  }
  assert.ok(reads > 3, `only ${reads} reads met the path`);
  assert.equal(read(`${secret}/file`), "of the host\n");
  assert.deepEqual([...Deno.readDirSync(secret)].map((e) => e.name), ["file"]);
});

async function tarOf(name: string, text: string): Promise<AsyncIterable<Uint8Array>> {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-tar-" });
  try {
    Deno.writeTextFileSync(`${dir}/${name}`, text);
    const { stdout } = await new Deno.Command("tar", { args: ["-c", "-C", dir, name] }).output();
    return (async function* () {
      yield await Promise.resolve(stdout);
    })();
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

Deno.test("an archive with .., absolute names and links outwards cannot leave the container", async () => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  const { id } = await nyxd.client.containers.create({ image, args: ["true"] });
  const host = `${dir}/host`;
  Deno.mkdirSync(host);
  const staged = `${dir}/staged`;
  Deno.mkdirSync(staged);
  Deno.symlinkSync(host, `${staged}/esc`);
  const sh = async (script: string) => (await new Deno.Command("sh", { args: ["-c", script] }).output()).stdout;
  // The archive brings a link out, then a file through it.
  const bytes = await sh(
    `cd ${staged} && tar -cf ../t.tar esc && mkdir d && mkdir d/esc && echo bad > d/esc/f && tar -rf ../t.tar -C d esc/f && cat ../t.tar`,
  );
  const feed = async function* () {
    yield await Promise.resolve(bytes);
  };
  await nyxd.client.containers.writeArchive(id, "/tmp", feed()).catch(() => {});
  assert.deepEqual([...Deno.readDirSync(host)], []);
  const up = await sh(`cd ${staged} && echo x > p && tar -cP --transform 's,^p,../../../..${host}/p,' -f - p`);
  const feedUp = async function* () {
    yield await Promise.resolve(up);
  };
  await assert.rejects(nyxd.client.containers.writeArchive(id, "/tmp", feedUp()), { code: "invalid_argument" });
  assert.deepEqual([...Deno.readDirSync(host)], []);
});

Deno.test("nyx commit: changes, deletions and settings are in the new image, and it runs; nyx export gives the whole root", async () => {
  await using world = await startWorld();
  const { nyxd, image, dir } = world;
  const script =
    "echo kept > /kept; rm /bin/busybox-x 2>/dev/null; mkdir /made; rm -rf /etc; mkdir /etc; echo new > /etc/new";
  const { id } = await nyxd.client.containers.run({ image, args: ["sh", "-c", script] });
  await nyxd.client.containers.wait(id);
  const done = await nyxd.nyx([
    "commit",
    "-m",
    "why",
    "-a",
    "me",
    "-c",
    'CMD ["sh","-c","cat /kept /etc/new; echo $WORD; ls /etc"]',
    "-c",
    "ENV WORD=spoken",
    id,
    "example.test/made:1",
  ]);
  assert.equal(done.code, 0, done.stderr);
  const made = await nyxd.nyx(["run", "--rm", "example.test/made:1"]);
  assert.equal(made.code, 0, made.stderr);
  assert.match(made.stdout, /^kept\nnew\nspoken\n/);
  const history = await nyxd.client.images.history("example.test/made:1");
  assert.equal(history[0]?.comment, "why");
  const bad = await nyxd.nyx(["commit", "-c", "RUN x", id]);
  assert.match(bad.stderr, /RUN x/);
  const tar = `${dir}/root.tar`;
  assert.equal((await nyxd.nyx(["export", "-o", tar, id])).code, 0);
  const list = new TextDecoder().decode((await new Deno.Command("tar", { args: ["-tf", tar] }).output()).stdout);
  assert.ok(list.includes("\nkept\n") || list.startsWith("kept\n"), "the container's own file");
  assert.ok(list.includes("bin/busybox"), "the image's file");
  assert.deepEqual(await untilTrue(nyxd), []);
});
