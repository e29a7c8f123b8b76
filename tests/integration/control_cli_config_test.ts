import assert from "node:assert/strict";
import { containerConfig } from "../../cli/container_config.ts";
import { CONTAINER_FLAGS, type ContainerFlags } from "../../cli/container_flags.ts";
import { parseArgs } from "../../cli/args/parse.ts";
import { type ContainerInput, createBody } from "../../daemon/control/schema/container.ts";
import { validate } from "../../daemon/control/validate.ts";
import type { ContainerConfig } from "../../daemon/spec/container.ts";

/** The compiler refuses this line when the schema lacks a field. */
const complete: [Exclude<keyof ContainerConfig, keyof ContainerInput>] extends [never] ? true : false = true;

/** Command lines with every flag at least once. */
const LINES: string[][] = [
  [],
  ["--name", "web", "-i", "-t", "-e", "A=1", "-e", "B", "-w", "/srv//x/../y", "-u", "1000:100", "--group-add", "5"],
  ["--entrypoint", "/bin/sh", "--hostname", "h.example", "--add-host", "db:10.0.0.1", "--add-host", "v6:2001:db8::1"],
  [
    "--add-host",
    "gw:host-gateway",
    "--dns",
    "1.1.1.1",
    "--dns",
    "::1",
    "--dns-search",
    "example.org",
    "--dns-search",
    ".",
  ],
  [
    "-p",
    "80",
    "-p",
    "127.0.0.1:8080:80/udp",
    "-p",
    "[::1]:7000-7010:7000-7010",
    "-P",
    "--expose",
    "90",
    "--expose",
    "1-5/udp",
  ],
  ["--network", "none"],
  ["--network", "host"],
  ["--network", "container:abc"],
  ["--network", "front", "--ip", "10.1.2.3"],
  ["--network", "name=back,alias=db,ip=10.9.9.9", "--network", "front"],
  ["--mac-address", "02:42:AC:11:00:02"],
  ["-v", "/a:/b:ro", "-v", "data:/d", "-v", "/anon", "--mount", "type=bind,src=/x,dst=/y,bind-propagation=rslave"],
  ["--mount", "type=volume,src=v1,dst=/v,volume-nocopy", "--mount", "type=tmpfs,dst=/t,tmpfs-size=64m,tmpfs-mode=1770"],
  ["--tmpfs", "/run:size=10m,mode=700,noexec", "--read-only", "--privileged"],
  ["--cap-add", "net_admin", "--cap-drop", "ALL", "--security-opt", "seccomp=unconfined"],
  [
    "--security-opt",
    "no-new-privileges",
    "--security-opt",
    "apparmor=unconfined",
    "--security-opt",
    "systempaths=unconfined",
  ],
  [
    "--device",
    "/dev/null:/dev/n:r",
    "--ulimit",
    "nofile=1024:4096",
    "--ulimit",
    "core=-1",
    "--sysctl",
    "net.core.somaxconn=5",
  ],
  ["--shm-size", "1g", "--init", "--pid", "host", "--ipc", "shareable", "--uts", "host", "--cgroupns", "private"],
  ["--ipc", "private", "--pid", "container:x", "--cgroup-parent", "/nyx-x"],
  ["-m", "64m", "--memory-swap", "-1", "--memory-reservation", "32m", "--cpus", "1.5", "--cpu-shares", "512"],
  [
    "--cpuset-cpus",
    "0-1",
    "--cpuset-mems",
    "0",
    "--pids-limit",
    "-1",
    "--blkio-weight",
    "300",
    "--oom-score-adj",
    "-500",
  ],
  ["--label", "a=b", "--label", "c", "--annotation", "k=v", "--restart", "on-failure:5", "--stop-signal", "int"],
  [
    "--stop-timeout",
    "0",
    "--health-cmd",
    "true",
    "--health-interval",
    "0",
    "--health-timeout",
    "1s",
    "--health-retries",
    "2",
  ],
  ["--health-interval", "1m30s", "--health-start-period", "5s"],
  ["--no-healthcheck", "--platform", "linux/arm64/v8", "--log-opt", "max-size=10m", "--log-opt", "mode=non-blocking"],
  ["--rm"],
];

Deno.test("every config that the command line makes passes the API's schema unchanged", () => {
  assert.ok(complete);
  const sources = { cwd: "/cwd", env: () => undefined, readFile: () => new Uint8Array() };
  for (const line of LINES) {
    const flags = parseArgs(CONTAINER_FLAGS, line).flags as unknown as ContainerFlags;
    const config = containerConfig(flags, "registry.example:5000/a/b:1@sha256:" + "0".repeat(64), ["cmd", ""], sources);
    const sent = JSON.parse(JSON.stringify(config));
    assert.deepEqual(validate(createBody, sent, "request body"), sent, line.join(" "));
  }
});
