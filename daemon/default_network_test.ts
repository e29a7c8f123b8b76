import assert from "node:assert/strict";
import { type Subnet, withFreeSubnet } from "./default_network.ts";
import { NyxError } from "./spec/errors.ts";

/** Sets up unless the host uses the subnet. */
function host(...taken: string[]) {
  return ({ subnet }: Subnet) =>
    taken.includes(subnet)
      ? Promise.reject(new NyxError("failed_precondition", `${subnet} is taken`))
      : Promise.resolve("up");
}

async function withFile(job: (path: string) => Promise<void>): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-subnet-" });
  try {
    await job(`${dir}/default.json`);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
}

Deno.test("withFreeSubnet: podman's bridge on 10.88.0.0/16 is avoided, and the choice stays when it goes", () =>
  withFile(async (path) => {
    const first = await withFreeSubnet(undefined, path, host("10.88.0.0/16"));
    assert.deepEqual(first, { result: "up", chosen: { subnet: "10.89.0.0/16", gateway: "10.89.0.1" } });
    assert.equal((await withFreeSubnet(undefined, path, host())).chosen.subnet, "10.89.0.0/16");
  }));

Deno.test("withFreeSubnet: a subnet that was asked for is used or refused, never replaced", () =>
  withFile(async (path) => {
    const asked = { subnet: "172.30.0.0/16", gateway: "172.30.0.1" };
    await assert.rejects(withFreeSubnet(asked, path, host(asked.subnet)), { code: "failed_precondition" });
    assert.deepEqual((await withFreeSubnet(asked, path, host())).chosen, asked);
  }));

Deno.test("withFreeSubnet: another failure is not taken for a taken subnet", () =>
  withFile(async (path) => {
    const broken = () => Promise.reject(new NyxError("permission_denied", "no"));
    await assert.rejects(withFreeSubnet(undefined, path, broken), { code: "permission_denied" });
  }));
