import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { deb, PACKAGE } from "../../cli/packaging/debian/deb.ts";
import { HOST_ARCHITECTURE } from "../../cli/packaging/compile.ts";
import { allDone } from "../../cli/packaging/stage.ts";
import { CACHE_DIR, cached, release, sources } from "../support/debian_root.ts";
import { inOwnRoot, removeCgroups } from "../support/own_root.ts";
import { busyboxImage } from "../support/oci.ts";
import { run } from "../support/random_tree.ts";

const SOURCE = new URL("../..", import.meta.url).pathname.replace(/\/$/, "");
/** What the package depends on and recommends; the rest of the root is what every Debian has. */
const DEPENDENCIES =
  "crun,nftables,libnftables1,libseccomp2,mount,passwd,init-system-helpers,catatonit,libisal2,libzstd1,busybox-static";

/** A tar of Debian's essential packages and the package's dependencies; made once, in half a minute. */
async function essentialRoot(): Promise<string> {
  const digest = createHash("sha256").update(`${release()} ${DEPENDENCIES}`).digest("hex").slice(0, 12);
  const tar = `${CACHE_DIR}/essential-${digest}.tar`;
  return await cached(`essential-${digest}`, (path: string) => Deno.statSync(path).size > 1e6, () => {
    run("mmdebstrap", [
      "--quiet",
      "--variant=essential",
      `--include=${DEPENDENCIES}`,
      release(),
      `${tar}.partial.tar`,
      ...sources(),
    ]);
    Deno.renameSync(`${tar}.partial.tar`, tar);
    return Promise.resolve(tar);
  });
}

const START = `nyxd --cgroup-parent /nyx-deb-$NAME --dns off 2>>/nyxd.log & daemon=$!
for i in $(seq 200); do nyx ping >/dev/null 2>&1 && break; sleep 0.1; done`;

const SCRIPT = `
export DEBIAN_FRONTEND=noninteractive
echo == install
dpkg -i /first.deb >/dev/null
nyx --version
nyxd --version
getent group nyx | cut -d: -f1
ls /usr/share/man/man1/nyx-container-run.1.gz /usr/share/man/man8/nyxd.8.gz
dpkg -V ${PACKAGE}
${START}
nyx load -q -i /image.tar >/dev/null
nyx run -d --name keep -v data:/data --restart unless-stopped --stop-timeout 1 nyx.local/busybox:latest sh -c 'echo kept >/data/file; exec sleep 1000' >/dev/null
for i in $(seq 100); do test -s /var/lib/nyxd/volumes/data/_data/file && break; sleep 0.1; done
first=$(nyx inspect -f '{{.State.Pid}}' keep)
echo == upgrade
dpkg -i /second.deb | grep -v Setting | grep -v Unpacking | grep -v Preparing | grep -v database
nyx --version
kill $daemon; wait $daemon
kill -0 $first && echo it went on
${START}
test "$first" = "$(nyx inspect -f '{{.State.Pid}}' keep)" && echo the same process
nyx version -f '{{.Server.Version}}'
echo == remove
dpkg -r ${PACKAGE} >/dev/null 2>/removed
cat /removed
wait $daemon
kill -0 $first 2>/dev/null || echo it was stopped
cat /var/lib/nyxd/volumes/data/_data/file
ls /usr/bin/nyx /usr/bin/nyxd /usr/lib/nyx 2>/dev/null || echo no program is left
echo == install again
dpkg -i /second.deb >/dev/null
${START}
for i in $(seq 100); do nyx ps --format '{{.Names}} {{.State}}' | grep running && break; sleep 0.1; done
echo == purge
mkdir /precious; echo mine >/precious/file
mkdir /var/lib/nyxd/there; mount --bind /precious /var/lib/nyxd/there
dpkg -P ${PACKAGE} >/dev/null 2>/purged
sed 's/^dpkg: //' /purged
ls /var/lib/nyxd
cat /var/lib/nyxd/volumes/data/_data/file
cat /precious/file
ls -d /var/cache/nyx /run/nyxd /etc/systemd/system/multi-user.target.wants/nyxd.service 2>/dev/null || echo nothing else is left
getent group nyx || echo no group
grep -c /var/lib/nyxd /proc/self/mountinfo || true
dpkg -i /second.deb >/dev/null
mkdir /var/lib/nyxd/disk; mount -t proc disk /var/lib/nyxd/disk
dpkg -P ${PACKAGE} 2>&1 >/dev/null | sed 's/^dpkg: //'
ls /var/lib/nyxd
umount /var/lib/nyxd/disk; rmdir /var/lib/nyxd/disk
rm -r /var/lib/nyxd/volumes/data
dpkg -i /second.deb >/dev/null; dpkg -P ${PACKAGE} >/dev/null 2>&1
ls -d /var/lib/nyxd 2>/dev/null || echo no data
`;

const EXPECTED = `== install
nyx version 0.0.1
nyxd 0.0.1
nyx
/usr/share/man/man1/nyx-container-run.1.gz
/usr/share/man/man8/nyxd.8.gz
== upgrade
nyxd runs, but not under systemd: restart it to use the new version; containers go on meanwhile.
nyx version 0.0.2
it went on
the same process
0.0.2
== remove
it was stopped
kept
no program is left
== install again
keep running
== purge
/var/lib/nyxd/volumes is kept: volumes hold data of containers. To delete it: rm -r /var/lib/nyxd
volumes
kept
mine
nothing else is left
no group
0
/var/lib/nyxd is kept: something is mounted below it; unmount it, and delete the directory by hand.
disk
volumes
no data
`;

Deno.test("Debian package: installs, upgrades while a container runs on, is removed, and purged without the data of volumes", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-deb-test-" });
  try {
    const root = `${dir}/root`;
    Deno.mkdirSync(root);
    const options = { root: SOURCE, architecture: HOST_ARCHITECTURE, compression: "none" as const };
    const build = (name: string, version: string) => deb({ ...options, outDir: `${dir}/${name}`, version });
    // One first: on a new machine it fetches the bundler.
    const first = await build("a", "0.0.1");
    const [again, second] = await allDone([build("b", "0.0.1"), build("c", "0.0.2")]);
    // cmp(1), not a loop: they are large.
    run("cmp", [first, again]);
    run("tar", ["-C", root, "-xf", await essentialRoot()]);
    Deno.renameSync(first, `${root}/first.deb`);
    Deno.renameSync(second, `${root}/second.deb`);
    busyboxImage({ dir: `${dir}/layout`, tag: "nyx.local/busybox:latest" });
    run("tar", ["-C", `${dir}/layout`, "-cf", `${root}/image.tar`, "."]);
    const { code, text, errors } = await inOwnRoot(root, SCRIPT.replaceAll("$NAME", String(Deno.pid)));
    const log = await Deno.readTextFile(`${root}/nyxd.log`).catch(() => "nyxd did not start");
    assert.equal(
      text.replaceAll(/ \(commit [0-9a-f]{12}(-dirty)?, \d{4}-\d\d-\d\d\)/g, ""),
      EXPECTED,
      `${errors}\n${log}`,
    );
    assert.equal(code, 0, `${text}\n${errors}`);
  } finally {
    await removeCgroups(`nyx-deb-${Deno.pid}`);
    Deno.removeSync(dir, { recursive: true });
  }
});
