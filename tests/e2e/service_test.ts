import assert from "node:assert/strict";
import { linuxPriority } from "../../ffi/linux/priority.ts";
import { nyxdCommand, startNyxd } from "../support/daemon.ts";

Deno.test("nyxd under systemd: READY=1 comes when the API answers, STOPPING=1 before it goes", async () => {
  const name = `nyx-test-notify-${crypto.randomUUID()}`;
  const socket = Deno.listenDatagram({ transport: "unixpacket", path: `\0${name}` });
  const next = async () => new TextDecoder().decode((await socket.receive())[0]);
  try {
    const starting = startNyxd({ env: { NOTIFY_SOCKET: `@${name}` } });
    const ready = next();
    await using nyxd = await starting;
    assert.equal(await ready, "READY=1");
    assert.equal(await nyxd.client.system.ping(), true);
    const stopping = nyxd.stop("SIGTERM");
    assert.equal(await next(), "STOPPING=1");
    assert.equal(await stopping, 0);
  } finally {
    socket.close();
  }
});

Deno.test("nyxd's socket: mode 0660 and the group asked for, in a base directory for root alone", async () => {
  await using nyxd = await startNyxd({ args: ["--socket-group=daemon"] });
  const info = Deno.statSync(nyxd.socket);
  assert.equal((info.mode ?? 0) & 0o777, 0o660);
  assert.equal(info.gid, 1);
  assert.equal((Deno.statSync(nyxd.baseDir).mode ?? 0) & 0o777, 0o700);
});

Deno.test("nyxd: the threads that answer names and set up networks have short turns, the others and what it starts have not", async () => {
  await using nyxd = await startNyxd();
  const kernel = linuxPriority();
  const threads = [...Deno.readDirSync(`/proc/${nyxd.pid}/task`)].map(({ name }) => kernel.slice(Number(name)));
  // Kernels before 6.12 say 0 of all.
  if (threads.every((ns) => ns === 0)) return;
  assert.equal(kernel.slice(nyxd.pid), 100_000);
  assert.equal(threads.filter((ns) => ns === 100_000).length, 2, threads.join(" "));
  const children = Deno.readTextFileSync(`/proc/${nyxd.pid}/task/${nyxd.pid}/children`).trim().split(" ");
  for (const pid of children.filter((c) => c !== "")) assert.ok(kernel.slice(Number(pid)) > 100_000, pid);
});

Deno.test("nyxd: a setting that cannot work ends the start with a sentence, and leaves nothing on the host", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-badstart-" });
  try {
    for (
      const [args, message] of [
        [["--socket-group=no-such-group"], /no-such-group.*groupadd/],
        [["--init-path=/does/not/exist"], /does\/not\/exist/],
        [["--crun=/usr/bin/does-not-exist", "--bridge=nyxtbad", "--subnet=10.254.77.0/24"], /does-not-exist/],
        [["--net-driver=cni", "--cni-bin-dir=/does/not/exist"], /\/does\/not\/exist.*containernetworking-plugins/],
        [[`--base-dir=${dir}/other`], /--base-dir ".*other": nyxd is not permitted to read it; .*deno task install/],
        [[`--socket=${dir}/other.sock`], /--socket ".*other.sock": nyxd is not permitted to read its directory/],
        [["--init-path=/etc/passwd"], /--init-path "\/etc\/passwd": nyxd is not permitted/],
        [["--bridge=nyxtbad", "--subnet=10.254.77.0/24", "--gateway=10.9.9.9"], /10\.9\.9\.9/],
      ] as [string[], RegExp][]
    ) {
      const command = nyxdCommand({ baseDir: `${dir}/base`, socket: `${dir}/base/api/s.sock` }, args);
      const { code, stderr } = await new Deno.Command(Deno.execPath(), { args: command }).output();
      assert.notEqual(code, 0, args.join(" "));
      assert.match(new TextDecoder().decode(stderr), message);
      const mounts = Deno.readTextFileSync("/proc/self/mountinfo");
      assert.ok(!mounts.includes(dir), `${args.join(" ")} leaves a mount`);
      const links = new TextDecoder().decode((await new Deno.Command("ip", { args: ["-o", "link"] }).output()).stdout);
      assert.ok(!links.includes("nyxtbad"), `${args.join(" ")} leaves a link`);
    }
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("nyxd.service: leaves containers alone, waits for READY, and starts what `task install` writes", () => {
  const unit = Deno.readTextFileSync(new URL("../../daemon/nyxd.service", import.meta.url));
  for (const line of ["Type=notify", "KillMode=process", "Delegate=yes", "NotifyAccess=main"]) {
    assert.ok(unit.includes(`\n${line}\n`), line);
  }
  assert.match(unit, /^ExecStart=\/usr\/local\/bin\/nyxd --socket-group nyx$/m);
  assert.match(unit, /^ExecStop=.* != stopping .*\/usr\/local\/bin\/nyx system shutdown --force --time 20'$/m);
});

Deno.test("nyxd in a chroot: refused, since crun exec there would give a container's process the host's root", async () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-chroot-" });
  const root = `${dir}/root`;
  Deno.mkdirSync(root);
  const run = async (command: string, args: string[]) => await new Deno.Command(command, { args }).output();
  try {
    await run("mount", ["--rbind", "/", root]);
    await run("mount", ["--make-rslave", root]);
    const paths = { baseDir: `${dir}/base`, socket: `${dir}/base/api/s.sock` };
    const args = nyxdCommand(paths, ["--bridge=nyxtchr", "--subnet=10.254.78.0/24"]);
    const { code, stderr } = await run("chroot", [root, Deno.execPath(), ...args]);
    assert.equal(code, 1);
    assert.match(new TextDecoder().decode(stderr), /Could not start in a chroot/);
  } finally {
    await run("umount", ["-R", "-l", root]);
    Deno.removeSync(dir, { recursive: true });
  }
});
