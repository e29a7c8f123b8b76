/** What an image tries against the host by way of the runtime, which sets a root up before it changes into it. */

import assert from "node:assert/strict";
import { busyboxImage, busyboxLayer, pushLayout } from "../support/oci.ts";
import { startWorld } from "../support/world.ts";

Deno.test("an image whose links lead to a host directory: no start of it, however odd, makes anything there", async (t) => {
  await using world = await startWorld();
  const { nyxd, registry, dir } = world;
  const target = `${dir}/victim`;
  Deno.mkdirSync(target);
  const layer = busyboxLayer().filter((e) => e.path !== "dev/" && e.path !== "etc/" && !e.path.startsWith("etc/"));
  const far = `../../../../../../../../..${target}`;
  // The same directory exists inside, so that a resolution within the root succeeds and the start goes on.
  const inside = { path: `${target.slice(1)}/`, mode: 0o755 };
  const images = {
    abs: [{ path: "dev", link: target }, { path: "etc", link: target }, { path: "link", link: target }],
    rel: [{ path: "dev", link: far }, { path: "etc", link: far }, { path: "link", link: far }],
  };
  const starts = [
    [],
    ["--privileged"],
    ["--read-only", "--tmpfs", "/link"],
    ["--device", "/dev/null:/link/sub/null"],
    ["-v", `${dir}/layout:/link/vol:ro`, "--tmpfs", "/link/tmp"],
    ["-v", "named:/link"],
    ["-w", "/link/work", "--hostname", "x", "--ipc", "shareable"],
  ];
  for (const [name, links] of Object.entries(images)) {
    const layout = `${dir}/${name}`;
    busyboxImage({
      dir: layout,
      layers: [[inside, ...layer, ...links.map((l) => ({ ...l, type: "symlink" as const }))]],
    });
    const ref = `127.0.0.1:${registry.port}/${name}:latest`;
    await pushLayout(layout, "latest", ref);
    await nyxd.client.images.pull({ ref });
    for (const flags of starts) {
      await t.step(`${name} ${flags.join(" ")}`, async () => {
        const r = await nyxd.nyx([
          "run",
          "--rm",
          ...flags,
          ref,
          "sh",
          "-c",
          "echo $(ls -ld /dev | cut -c1) > /link/x; echo ran",
        ]);
        assert.deepEqual([...Deno.readDirSync(target)].map((e) => e.name), [], r.stderr);
        if (flags.length === 0) assert.equal(r.stdout, "ran\n", r.stderr);
      });
    }
  }
});
