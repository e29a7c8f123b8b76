/**
 * Checks generated config.json against the published JSON schema of the OCI runtime specification. NYX_SCHEMAS names the directory
 * that holds runtime-spec/config-schema.json and what it refers to.
 */

import assert from "node:assert/strict";
import { Ajv, type ValidateFunction } from "npm:ajv@8.20.0";
import type { ContainerConfig } from "../../daemon/spec/container.ts";
import { linuxFile } from "../../ffi/linux/file.ts";
import { hostDevices } from "../../workers/rootfs/host_devices.ts";
import { BundleFixture } from "./bundle_fixture.ts";

const schemas = Deno.env.get("NYX_SCHEMAS");
if (schemas === undefined) {
  console.warn("NYX_SCHEMAS is not set: config.json is not checked against the runtime specification's schema");
}

/** The schemas say draft-04 and use nothing of it that later drafts changed, but for `id` at the top. */
function readSchema(path: string): Record<string, unknown> {
  const { id: _id, $schema: _draft, ...schema } = JSON.parse(Deno.readTextFileSync(path)) as Record<string, unknown>;
  return schema;
}

function compile(dir: string): ValidateFunction {
  const ajv = new Ajv({ strict: false, allErrors: true, logger: false });
  for (const { name } of Deno.readDirSync(dir)) {
    if (name.endsWith(".json") && name !== "config-schema.json") ajv.addSchema(readSchema(`${dir}/${name}`), name);
  }
  return ajv.compile(readSchema(`${dir}/config-schema.json`));
}

const CONFIGS: Record<string, Partial<ContainerConfig>> = {
  plain: {},
  privileged: { privileged: true },
  everything: {
    user: "joe:audio",
    groupAdd: ["wheel"],
    env: ["A=1", "PATH"],
    tty: true,
    hostname: "h",
    domainname: "example.org",
    annotations: { "org.example.a": "b" },
    readOnly: true,
    shmSizeBytes: 1 << 20,
    capAdd: ["NET_ADMIN"],
    capDrop: ["MKNOD"],
    noNewPrivileges: false,
    deviceCgroupRules: ["c 13:* rwm"],
    ulimits: [{ name: "core", soft: -1, hard: -1 }, { name: "nproc", soft: 10, hard: 20 }],
    sysctls: { "kernel.msgmax": "9000" },
    cgroupnsMode: "private",
    resources: {
      memoryBytes: 64 << 20,
      memorySwapBytes: -1,
      memoryReservationBytes: 32 << 20,
      nanoCpus: 1e9,
      cpuShares: 512,
      cpusetCpus: "0",
      cpusetMems: "0",
      pidsLimit: 10,
      oomScoreAdj: 5,
    },
  },
};

Deno.test({
  name: "bundle: config.json is valid by the published schema, and the schema does refuse what is not",
  ignore: schemas === undefined,
  fn: async (t) => {
    const validate = compile(`${schemas}/runtime-spec`);
    using f = new BundleFixture();
    for (const [name, config] of Object.entries(CONFIGS)) {
      await t.step(name, async () => {
        const request = f.request({ args: ["sh"], ...config });
        if (config.privileged === true) request.devices = hostDevices(linuxFile(), [], true);
        await f.host.call("generate", request);
        const spec = f.spec(request);
        assert.ok(validate(spec), JSON.stringify(validate.errors?.slice(0, 5)));
        assert.ok(!validate({ ...spec, mounts: [{ source: "no destination" }] }));
        assert.ok(!validate({ ...spec, process: { args: "sh" } }));
      });
    }
  },
});
