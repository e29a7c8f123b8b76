/**
 * Runs in the guest, below /opt/nyx/tests/vm/guest: measures one row and prints medians as JSON. Arguments: the row, the registry,
 * and the rounds that count.
 */

import { DEFAULT_SOCKET, NyxClient } from "../../../mod.ts";
import { alternate, percentile, type Subjects, timed } from "../../bench/measure.ts";

const [row = "", registry = "", rounds = "7"] = Deno.args;
const BUSYBOX = `${registry}/busybox`;
const CARGO = `${registry}/cargo`;
/** Podman with its state on the same disk as nyx's, and with the same runtime. */
const POD =
  "podman --root /data/podman --runroot /run/podman --runtime crun --cgroup-manager cgroupfs --events-backend none";

async function sh(script: string): Promise<void> {
  const { code, stderr } = await new Deno.Command("sh", { args: ["-c", script], stdout: "null", stdin: "null" })
    .output();
  if (code !== 0) throw new Error(`${script}\nended with ${code}: ${new TextDecoder().decode(stderr)}`);
}

/** A command as it is typed, from its start to its end. */
const typed = (script: string) => () => timed(() => sh(`exec ${script}`));

async function throughApi(client: NyxClient): Promise<void> {
  const attach = { stdin: false, stdout: true, stderr: true };
  const stream = await client.containers.attachRun({ image: BUSYBOX, args: ["true"], autoRemove: true, attach });
  for await (const item of stream) {
    if (item.kind === "event" && item.event.event === "exit" && item.event.exitCode === 0) return;
  }
  throw new Error("The container did not end with exit code 0");
}

async function runRow(): Promise<Subjects> {
  await sh(`nyx pull -q ${BUSYBOX} && ${POD} pull -q --tls-verify=false ${BUSYBOX}`);
  await sh(
    "mkdir -p /data/bundle/rootfs/bin && cp /bin/busybox /data/bundle/rootfs/bin/true && cd /data/bundle && " +
      `crun spec && sed -i 's/"terminal": true/"terminal": false/; s/"sh"/"true"/' config.json`,
  );
  const client = new NyxClient({ socketPath: DEFAULT_SOCKET });
  let n = 0;
  return {
    "bare crun": () => typed(`crun run -b /data/bundle bench-${n++}`)(),
    "nyx API": () => timed(() => throughApi(client)),
    nyx: typed(`nyx run --rm ${BUSYBOX} true`),
    podman: typed(`${POD} run --rm --log-driver k8s-file ${BUSYBOX} true`),
  };
}

/** Everything is gone again, and on disk, before the next one begins. */
function pullRow(): Subjects {
  const pull = (command: string, undo: string) => async () => {
    const ms = await typed(command)();
    await sh(`${undo} && sync`);
    return ms;
  };
  return {
    nyx: pull(`nyx pull -q ${CARGO}`, `nyx image rm -f ${CARGO} && nyx image prune -f`),
    podman: pull(`${POD} pull -q --tls-verify=false ${CARGO}`, `${POD} image rm -f ${CARGO}`),
  };
}

if (import.meta.main) {
  const subjects = row === "run" ? await runRow() : pullRow();
  const results = await alternate(subjects, Number(rounds));
  console.log(JSON.stringify(Object.fromEntries(Object.entries(results).map(([k, v]) => [k, percentile(v, 0.5)]))));
  Deno.exit(0);
}
