/** Proves that the ready-made seccomp filter decides every call as the program does that crun compiles from config.json. */

import assert from "node:assert/strict";
import { linuxSeccomp } from "../../ffi/linux/seccomp.ts";
import { DEFAULT_CAPABILITIES } from "../../workers/bundle/capabilities.ts";
import { resolveSeccomp } from "../../workers/bundle/seccomp.ts";
import { compileFilter, FILTER_ANNOTATION } from "../../workers/bundle/seccomp_filter.ts";
import { BundleFixture } from "./bundle_fixture.ts";

/** What a filter looks at (struct seccomp_data). */
interface Call {
  nr: number;
  arch: number;
  arg0: bigint;
}

/** Runs a classic BPF program (linux/bpf_common.h) over struct seccomp_data and gives its verdict. */
function judge(program: Uint8Array, { nr, arch, arg0 }: Call): number {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, nr, true);
  data.setUint32(4, arch, true);
  data.setBigUint64(16, arg0, true);
  const code = new DataView(program.buffer, program.byteOffset, program.byteLength);
  let a = 0;
  for (let pc = 0;; pc++) {
    const op = code.getUint16(pc * 8, true);
    const jt = code.getUint8(pc * 8 + 2);
    const jf = code.getUint8(pc * 8 + 3);
    const k = code.getUint32(pc * 8 + 4, true);
    switch (op) {
      case 0x20:
        a = data.getUint32(k, true);
        break;
      case 0x54:
        a = (a & k) >>> 0;
        break;
      case 0x05:
        pc += k;
        break;
      case 0x15:
        pc += a === k ? jt : jf;
        break;
      case 0x25:
        pc += a > k ? jt : jf;
        break;
      case 0x35:
        pc += a >= k ? jt : jf;
        break;
      case 0x06:
        return k;
      default:
        throw new Error(`Unknown BPF instruction ${op.toString(16)} at ${pc}`);
    }
  }
}

const X86_64 = 0xc000003e;
const ARCHES = [X86_64, 0x40000003, 0xc00000b7, 0x40000028, 0];
const ARGS = [0n, 1n, 8n, 16n, 40n, 0x20000n, 0x20008n, 0x7e020000n, 0x10000000n, 0x3d0f00n, 0xffffffffn, 1n << 40n];

function* calls(): Generator<Call> {
  for (const arch of ARCHES) {
    for (const base of [0, 0x40000000]) {
      for (let nr = 0; nr < 1100; nr++) for (const arg0 of ARGS) yield { nr: base + nr, arch, arg0 };
    }
    for (const nr of [0xffffffff, 0x7fffffff, 983045]) for (const arg0 of ARGS) yield { nr, arch, arg0 };
  }
}

function assertSame(a: Uint8Array, b: Uint8Array): void {
  for (const call of calls()) {
    const [x, y] = [judge(a, call), judge(b, call)];
    if (x !== y) assert.fail(`nr ${call.nr} arch ${call.arch.toString(16)} arg0 ${call.arg0}: ${x} and ${y}`);
  }
}

/** The program crun compiled for a running container: it keeps it for exec. */
async function programOfCrun(f: BundleFixture, config: { capDrop?: string[] }, strip: boolean): Promise<Uint8Array> {
  const request = f.request({ args: ["/bin/busybox", "sleep", "30"], ...config });
  await f.host.call("generate", request);
  const path = `${request.bundleDir}/config.json`;
  const spec = JSON.parse(Deno.readTextFileSync(path));
  assert.ok(FILTER_ANNOTATION in spec.annotations, "no ready-made filter was used");
  if (strip) {
    delete spec.annotations[FILTER_ANNOTATION];
    Deno.writeTextFileSync(path, JSON.stringify(spec));
  }
  const running = f.crun(["run", "--bundle", request.bundleDir, request.id]);
  try {
    for (let i = 0;; i++) {
      try {
        const program = Deno.readFileSync(`${f.dir}/crun/${request.id}/seccomp.bpf`);
        if (program.byteLength > 0) return program;
      } catch (e) {
        if (i > 500) throw e;
      }
      await new Promise((r) => setTimeout(r, 10));
    }
  } finally {
    for (let i = 0; i < 100; i++) {
      const { code } = await f.crun(["delete", "--force", request.id]);
      if (code === 0) break;
    }
    await running;
  }
}

Deno.test("readyFilters: the filter judges every call as crun's own program does", async () => {
  using f = new BundleFixture();
  for (const config of [{}, { capDrop: ["ALL"] }]) {
    const theirs = await programOfCrun(f, config, true);
    const ours = await programOfCrun(f, config, false);
    assert.notDeepEqual(ours, theirs);
    assertSame(ours, theirs);
  }
});

Deno.test("compileFilter: the search tree judges every call as the list does", () => {
  const compiler = linuxSeccomp();
  const seccomp = resolveSeccomp(undefined, {
    capabilities: DEFAULT_CAPABILITIES,
    kernel: "6.1",
    arch: Deno.build.arch,
  });
  assert.ok(seccomp !== undefined);
  assertSame(compileFilter(compiler, seccomp), compileFilter(compiler, seccomp, { linear: true }));
});

Deno.test({
  name: "compileFilter: verdicts of well-known calls",
  ignore: Deno.build.arch !== "x86_64",
  fn: () => {
    const seccomp = resolveSeccomp(undefined, {
      capabilities: DEFAULT_CAPABILITIES,
      kernel: "6.1",
      arch: Deno.build.arch,
    });
    assert.ok(seccomp !== undefined);
    const program = compileFilter(linuxSeccomp(), seccomp);
    const verdict = (nr: number, arg0 = 0n) => judge(program, { nr, arch: X86_64, arg0 });
    const allow = 0x7fff0000;
    const eperm = 0x00050001;
    assert.equal(verdict(0), allow, "read");
    assert.equal(verdict(165), eperm, "mount");
    assert.equal(verdict(272), eperm, "unshare");
    assert.equal(verdict(435), 0x00050026, "clone3 is ENOSYS");
    assert.equal(verdict(56, 0x3d0f00n), allow, "clone of a thread");
    assert.equal(verdict(56, 0x10000000n), eperm, "clone of a user namespace");
    assert.equal(verdict(41, 2n), allow, "an inet socket");
    assert.equal(verdict(41, 40n), eperm, "a vsock socket");
    assert.equal(verdict(135, 0x20000n), allow, "a harmless personality");
    assert.equal(verdict(135, 0x40000n), eperm, "ADDR_NO_RANDOMIZE");
    assert.equal(verdict(425), eperm, "io_uring_setup");
    assert.equal(verdict(248), eperm, "add_key");
    assert.ok(
      [0, 0x80000000].includes(judge(program, { nr: 0, arch: 0xc00000b7, arg0: 0n })),
      "a foreign machine is killed",
    );
  },
});
