import assert from "node:assert/strict";
import { networkPermissions } from "../network/permissions.ts";
import { cniPermissions, pluginsIn } from "./permissions.ts";

Deno.test("pluginsIn: files of the directory alone, no name that would split a list of permissions; a missing one is empty", () => {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-plugins-" });
  try {
    for (const name of ["bridge", "host-local", "a,b", ".hidden", "with space"]) {
      Deno.writeTextFileSync(`${dir}/${name}`, "");
    }
    Deno.mkdirSync(`${dir}/sub`);
    assert.deepEqual(pluginsIn(dir), [`${dir}/bridge`, `${dir}/host-local`]);
    assert.deepEqual(pluginsIn(`${dir}/none`), []);
  } finally {
    Deno.removeSync(dir, { recursive: true });
  }
});

Deno.test("cniPermissions: beside the native worker's, the plugins one by one and the configuration to read; nothing to write", () => {
  const plugins = ["/usr/lib/cni/bridge", "/usr/lib/cni/portmap"];
  const native = networkPermissions("/b");
  const cni = cniPermissions("/b", { confDir: "/etc/cni/net.d", binDir: "/usr/lib/cni", plugins });
  assert.deepEqual(cni.run, [...native.run as string[], ...plugins]);
  assert.deepEqual(cni.read, [...native.read as string[], "/etc/cni/net.d"]);
  assert.deepEqual([cni.write, cni.ffi, cni.net, cni.env, cni.sys], [native.write, native.ffi, false, false, false]);
});
