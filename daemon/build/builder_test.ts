import assert from "node:assert/strict";
import { Logger } from "../log/logger.ts";
import { NyxError } from "../spec/errors.ts";
import { Builder } from "./builder.ts";
import type { BuildDeps } from "./deps.ts";
import { rewriteHeredocs } from "./heredocs.ts";
import { cleanConfig } from "./clean_config.ts";

Deno.test("Builder: without buildah the error says how to install it, and nothing of the build is left", async () => {
  const baseDir = await Deno.makeTempDir();
  try {
    const unused = () => Promise.reject(new Error("not asked for"));
    const deps: BuildDeps = {
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
    };
    const builder = new Builder(deps);
    const attachment = builder.build({ dockerfile: "FROM scratch\nCOPY x /\n" }, () => {});
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
