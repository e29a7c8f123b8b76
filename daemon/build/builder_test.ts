import assert from "node:assert/strict";
import { Logger } from "../log/logger.ts";
import { NyxError } from "../spec/errors.ts";
import { FrameDecoder, parseChannel } from "../spec/frames.ts";
import { AgentSockets } from "./agents.ts";
import { Builder } from "./builder.ts";
import type { BuildDeps } from "./deps.ts";
import { BuildOutput } from "./output.ts";
import { rewriteHeredocs } from "./heredocs.ts";
import { cleanConfig } from "./clean_config.ts";

/** A builder on a host without buildah; `over` says what else is so. */
function builderIn(baseDir: string, over: Partial<BuildDeps> = {}): Builder {
  const unused = () => Promise.reject(new Error("not asked for"));
  return new Builder({
    baseDir,
    crun: "/usr/bin/crun",
    cgroupParent: "/nyx-none",
    platform: { os: "linux", architecture: "amd64" },
    proxies: {},
    log: new Logger("silent"),
    // FROM scratch has no base image.
    images: { ensure: unused, builds: undefined as unknown as BuildDeps["images"]["builds"] },
    programPath: `${baseDir}/nothing`,
    unpack: unused,
    removeTree: (path) => Deno.remove(path, { recursive: true }).catch(() => {}),
    usage: () => Promise.resolve(0),
    network: () => Promise.resolve({ option: "none", dns: [], gateway: "", release: () => Promise.resolve() }),
    ...over,
  });
}

const REQUEST = { dockerfile: "FROM scratch\nCOPY x /\n" };

Deno.test("Builder: without buildah the error says how to install it, and nothing of the build is left", async () => {
  const baseDir = await Deno.makeTempDir();
  try {
    const builder = builderIn(baseDir);
    const attachment = builder.build(REQUEST, () => {});
    for await (const _ of attachment.output);
    await assert.rejects(attachment.exit, (e) => {
      assert.ok(e instanceof NyxError);
      assert.equal(e.code, "failed_precondition");
      assert.match(e.message, /buildah is not installed.*apt-get install buildah/);
      return true;
    });
    await builder.close();
    assert.deepEqual([...Deno.readDirSync(`${baseDir}/build/jobs`)], []);
  } finally {
    await Deno.remove(baseDir, { recursive: true });
  }
});

Deno.test("Builder: no build begins while what a failed one left, or the steps of all, are being removed", async () => {
  const baseDir = await Deno.makeTempDir();
  try {
    let networks = 0;
    /** Removals of this path wait, and say that they have begun. */
    let held = { path: "", begun: Promise.withResolvers<void>(), go: Promise.withResolvers<void>() };
    const hold = (path: string) =>
      held = { path: `${baseDir}/build/${path}`, begun: Promise.withResolvers(), go: Promise.withResolvers() };
    const builder = builderIn(baseDir, {
      removeTree: async (path) => {
        if (path === held.path) {
          held.begun.resolve();
          await held.go.promise;
        }
        await Deno.remove(path, { recursive: true }).catch(() => {});
      },
      network: () => {
        networks++;
        return Promise.resolve({ option: "none", dns: [], gateway: "", release: () => Promise.resolve() });
      },
    });
    const failed = (build: ReturnType<Builder["build"]>) => assert.rejects(build.exit, /buildah is not installed/);
    await failed(builder.build(REQUEST, () => {}));
    const clean = hold("jobs/clean");
    const first = failed(builder.build(REQUEST, () => {}));
    await clean.begun.promise;
    const second = failed(builder.build(REQUEST, () => {}));
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(networks, 1, "the second waits for the cleaning");
    clean.go.resolve();
    await Promise.all([first, second]);
    assert.equal(networks, 3);

    const storage = hold("storage");
    const pruned = builder.prune();
    await storage.begun.promise;
    const third = failed(builder.build(REQUEST, () => {}));
    await assert.rejects(builder.prune(), /1 builds are under way/);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(networks, 3, "the third waits for the removal");
    storage.go.resolve();
    await pruned;
    await third;
    assert.equal((await Deno.stat(`${baseDir}/build/storage`)).isDirectory, true, "made anew for the third");
    await builder.close();
  } finally {
    await Deno.remove(baseDir, { recursive: true });
  }
});

Deno.test("AgentSockets: an agent's socket takes no more while the client is behind, and what it took comes in order", async () => {
  const dir = await Deno.makeTempDir();
  try {
    const output = new BuildOutput();
    const size = 4 * 1024 * 1024;
    let relayed = 0;
    const frame = (bytes: Uint8Array) => {
      relayed += bytes.byteLength;
      output.frame(bytes);
    };
    using agents = new AgentSockets(() => {}, frame, () => output.room());
    agents.listen(`${dir}/s`, "default");
    using program = await Deno.connect({ transport: "unix", path: `${dir}/s` });
    const sent = new Blob([new Uint8Array(size)]).stream().pipeTo(program.writable);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.ok(relayed > 0 && relayed < 512 * 1024, `${relayed} bytes wait`);
    const frames = new FrameDecoder();
    let got = 0;
    for await (const bytes of output) {
      for (const { payload } of frames.push(bytes)) {
        const channel = parseChannel(payload);
        assert.equal(channel?.channel, 1);
        got += channel?.bytes.byteLength ?? 0;
        if (channel?.bytes.byteLength === 0) output.end();
      }
    }
    await sent;
    assert.equal(got, size);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
});

Deno.test("rewriteHeredocs: RUN keeps its flags and its shell, scripts their interpreter; COPY takes files; lines outside stay", () => {
  const { text, files } = rewriteHeredocs(
    'FROM a\nRUN --mount=type=cache,target=/c <<EOF\necho "$X"\nEOF\nSHELL ["/bin/bash", "-ec"]\nRUN <<EOF\n#!/usr/bin/env python3 -u\nprint(1)\nEOF\n' +
      "RUN cat <<A <<B\n1\nA\n2\nB\nCOPY --chown=1 <<'X' <<Y /d/\n$keep\nX\nplain\nY\nUSER u\n",
  );
  assert.equal(
    text,
    'FROM a\nRUN --mount=type=cache,target=/c ["/bin/sh","-c","echo \\"$X\\"\\n"]\nSHELL ["/bin/bash", "-ec"]\n' +
      'RUN ["/bin/bash","-ec","cat > /dev/shm/nyx-heredoc-6 <<\'EOF\'\\n#!/usr/bin/env python3 -u\\nprint(1)\\nEOF\\n' +
      '/usr/bin/env python3 -u /dev/shm/nyx-heredoc-6; r=$?; rm -f /dev/shm/nyx-heredoc-6; exit $r"]\n' +
      'RUN ["/bin/bash","-ec","cat <<A <<B\\n1\\nA\\n2\\nB"]\n' +
      "COPY --chown=1 --from=nyx-heredocs /15/X /15/Y /d/\nUSER u\n",
  );
  assert.deepEqual([...files], [["15/X", "$keep\n"], ["15/Y", "plain\n"]]);
  const plain = "FROM a\r\nRUN echo $((1<<2)) <<<word\r\n";
  assert.equal(rewriteHeredocs(plain).text, plain);
  assert.throws(() => rewriteHeredocs("FROM a\nCOPY <<E /x\n$V\nE\n"), /quote its word/);
  assert.throws(() => rewriteHeredocs("FROM a\nCOPY f <<E /x\nE\n"), /write two instructions/);
});

Deno.test("cleanConfig: what belongs to buildah's working container is left out, what the image says stays", () => {
  const built = {
    created: "2020-01-01T00:00:00Z",
    container: "c",
    container_config: { Hostname: "h" },
    parent: "sha256:1",
    architecture: "amd64",
    os: "linux",
    config: {
      Hostname: "h",
      Tty: false,
      User: "1",
      Env: ["A=1"],
      Cmd: [],
      Entrypoint: null,
      Healthcheck: { Test: ["NONE"] },
    },
    rootfs: { type: "layers", diff_ids: [] },
    history: [{ created_by: "RUN x", comment: "FROM localhost/nyx-base:1" }, {
      created_by: "y",
      comment: "mine",
      empty_layer: true,
    }],
  };
  assert.deepEqual(JSON.parse(new TextDecoder().decode(cleanConfig(new TextEncoder().encode(JSON.stringify(built))))), {
    created: "2020-01-01T00:00:00Z",
    architecture: "amd64",
    os: "linux",
    config: { User: "1", Env: ["A=1"], Healthcheck: { Test: ["NONE"] } },
    rootfs: { type: "layers", diff_ids: [] },
    history: [{ created_by: "RUN x" }, { created_by: "y", comment: "mine", empty_layer: true }],
  });
});
