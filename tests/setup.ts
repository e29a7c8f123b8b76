/** Installs the Debian packages that nyx, or its tests, need and that are missing. Run as root; reaches only Debian's mirrors. */

/** What a running nyxd needs. libisal2 and libzstd1 make unpacking faster; nyx works without them. */
export const RUNTIME_PACKAGES: readonly string[] = [
  "crun",
  "nftables",
  "libnftables1",
  "iproute2",
  "libisal2",
  "libzstd1",
  "busybox-static",
  "catatonit",
];

/** What the tests need besides: a registry, reference tools to compare with, and clients. */
export const TEST_PACKAGES: readonly string[] = [
  "docker-registry",
  "skopeo",
  "umoci",
  "podman",
  "buildah",
  "mmdebstrap",
  // For tests/vm: 14 MB with what it depends on. Its guest fetches some 80 MB more, once: see tests/vm/README.md.
  "qemu-system-x86",
  "e2fsprogs",
  "openssl",
  "curl",
  "netcat-openbsd",
  "socat",
  "iputils-ping",
  "bind9-dnsutils",
  "dnsperf",
  "containernetworking-plugins",
  "wrk",
  "iperf3",
  "zstd",
  "xz-utils",
  "attr",
  "libcap2-bin",
  "strace",
  "procps",
  "mandoc",
  "bash",
  "zsh",
  "fish",
];

async function run(command: string, args: string[], stdout: "piped" | "null" = "null"): Promise<string> {
  const child = new Deno.Command(command, {
    args,
    env: { DEBIAN_FRONTEND: "noninteractive" },
    stdin: "null",
    stdout,
    stderr: "piped",
  });
  const output = await child.output();
  if (!output.success) {
    const stderr = output.stderr;
    throw new Error(
      `Could not run ${command} ${args.slice(0, 3).join(" ")}: ${new TextDecoder().decode(stderr).trim()}`,
    );
  }
  return stdout === "piped" ? new TextDecoder().decode(output.stdout) : "";
}

/** Those of `packages` that are not installed. */
export async function missingPackages(packages: readonly string[]): Promise<string[]> {
  const listing = await run("dpkg-query", ["-W", "-f", "${Package} ${db:Status-Status}\\n"], "piped");
  const installed = new Set(
    listing.split("\n").filter((l) => l.endsWith(" installed")).map((l) => l.split(" ")[0] ?? ""),
  );
  return packages.filter((p) => !installed.has(p));
}

/** Installs what is missing, and says so. */
export async function installPackages(packages: readonly string[]): Promise<void> {
  if (Deno.uid() !== 0) throw new Error("Could not prepare the machine: run this as root");
  const missing = await missingPackages(packages);
  if (missing.length === 0) return;
  console.log(`Installing ${missing.join(" ")}`);
  await run("apt-get", ["update", "-q"]);
  await run("apt-get", ["install", "-y", "-q", "--no-install-recommends", ...missing]);
}

/** Fetches the npm packages of nyxd and nyx, so that both start without the network. */
export async function cacheModules(): Promise<void> {
  const root = new URL("..", import.meta.url).pathname;
  const entries = ["daemon/main.ts", "cli/main.ts"].map((path) => `${root}${path}`);
  await run(Deno.execPath(), ["cache", "--quiet", `--config=${root}deno.json`, ...entries]);
}

if (import.meta.main) {
  await installPackages(Deno.args.includes("--tests") ? [...RUNTIME_PACKAGES, ...TEST_PACKAGES] : RUNTIME_PACKAGES);
  await cacheModules();
}
