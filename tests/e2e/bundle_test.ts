import assert from "node:assert/strict";
import { bundle, writeLaunchers } from "../../cli/packaging/bundle.ts";
import { LIBRARIES } from "../../daemon/permissions.ts";
import { VERSION } from "../../daemon/spec/version.ts";
import { copyWithLibraries, inOwnRoot, removeCgroups } from "../support/own_root.ts";
import { busyboxImage } from "../support/oci.ts";
import { run } from "../support/random_tree.ts";

const SOURCE = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");

/** A root that holds the bundles, deno, crun, busybox and libraries, and nothing else: no /etc, no node_modules, no cache. */
async function emptyRoot(dir: string): Promise<void> {
  const there = LIBRARIES.filter((path) => {
    try {
      return Deno.statSync(path).isFile;
    } catch {
      return false;
    }
  });
  copyWithLibraries(dir, Deno.execPath(), "/usr/bin/deno");
  for (const path of ["/usr/bin/crun", ...there]) copyWithLibraries(dir, path);
  for (const path of ["/bin", "/usr/bin", "/root", "/etc"]) Deno.mkdirSync(`${dir}${path}`, { recursive: true });
  Deno.copyFileSync("/bin/busybox", `${dir}/bin/busybox`);
  run("chroot", [dir, "/bin/busybox", "--install", "-s", "/bin"]);
  Deno.symlinkSync("/bin/busybox", `${dir}/usr/bin/setsid`);
  await bundle({ root: SOURCE, outDir: `${dir}/opt/nyx` });
  writeLaunchers(`${dir}/opt/nyx`);
  for (const name of ["nyx", "nyxd"]) Deno.symlinkSync(`/opt/nyx/bin/${name}`, `${dir}/usr/bin/${name}`);
  busyboxImage({ dir: `${dir}/layout`, tag: "nyx.local/busybox:latest" });
  run("tar", ["-C", `${dir}/layout`, "-cf", `${dir}/image.tar`, "."]);
}

// Each step that every worker has a part in; what it prints is compared below.
const SCRIPT = `
nyx --version
nyxd --version
nyxd --cgroup-parent /nyx-bundle-$NAME --dns off 2>/nyxd.log &
for i in $(seq 100); do nyx ping >/dev/null 2>&1 && break; sleep 0.1; done
nyx load -q -i /image.tar
nyx run --rm nyx.local/busybox:latest echo from a container
nyx run -d --name web -p 127.0.0.1:8080:80 nyx.local/busybox:latest sh -c 'mkdir /www; echo a page >/www/index.html; exec httpd -f -p 80 -h /www' >/dev/null
for i in $(seq 50); do wget -qO- http://127.0.0.1:8080/ 2>/dev/null && break; sleep 0.1; done
nyx exec web echo from exec
printf 'name: shop\\nservices:\\n  one: {image: "nyx.local/busybox:latest", command: ["echo", "from compose"]}\\n' >/compose.yaml
nyx compose -f /compose.yaml up >/compose.out 2>&1 && grep -o 'from compose' /compose.out
nyx pull 127.0.0.1:1/none/such 2>&1 | grep -c "nyx: Could not reach"
kill %1; wait %1
nyxd --cgroup-parent /nyx-bundle-$NAME --dns off 2>>/nyxd.log &
for i in $(seq 100); do nyx ping >/dev/null 2>&1 && break; sleep 0.1; done
nyx ps --format '{{.Names}} {{.State}}'
nyx rm -f $(nyx ps -aq) >/dev/null
kill %1; wait %1
ls -a /root /opt/nyx | grep -c node_modules || true
`;

Deno.test("bundles: in a root with deno, crun and busybox alone, nyx and nyxd run, publish, exec, compose, and come back", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-bundle-" });
  try {
    await emptyRoot(dir);
    const { code, text, errors } = await inOwnRoot(dir, SCRIPT.replaceAll("$NAME", String(Deno.pid)));
    const log = Deno.readTextFileSync(`${dir}/nyxd.log`);
    assert.equal(code, 0, `${text}\n${errors}\n${log}`);
    const [cli, daemon, ...rest] = text.trimEnd().split("\n");
    const build = String.raw`( \(commit [0-9a-f]{12}(-dirty)?, \d{4}-\d\d-\d\d\))?$`;
    assert.match(cli ?? "", new RegExp(`^nyx version ${VERSION}${build}`));
    assert.match(daemon ?? "", new RegExp(`^nyxd ${VERSION}${build}`));
    assert.deepEqual(rest.slice(-7), [
      "from a container",
      "a page",
      "from exec",
      "from compose",
      "1",
      "web running",
      "0",
    ], `${text}\n${errors}\n${log}`);
    assert.equal(errors, "");
  } finally {
    await removeCgroups(`nyx-bundle-${Deno.pid}`);
    Deno.removeSync(dir, { recursive: true });
  }
});
