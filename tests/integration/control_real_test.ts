import assert from "node:assert/strict";
import { ROUTES } from "../../daemon/control/routes/table.ts";
import { startWorld } from "../support/world.ts";

/** Requests in an order in which each can succeed: operation, path, body. */
const REQUESTS: [string, string, unknown?][] = [
  ["version", "/v1/version"],
  ["info", "/v1/info"],
  ["runContainer", "/v1/containers/run", {
    image: "IMAGE",
    name: "one",
    args: ["sleep", "1000"],
    labels: { a: "b" },
    publish: ["127.0.0.1::80"],
    mounts: [{ type: "volume", source: "schema-data", target: "/d" }],
    healthcheck: { command: "true", interval: "100ms" },
  }],
  ["diskUsage", "/v1/system/df"],
  ["listContainers", "/v1/containers?detail=1&size=1"],
  ["inspectContainer", "/v1/containers/one"],
  ["topContainer", "/v1/containers/one/top"],
  ["containerStats", "/v1/containers/one/stats"],
  ["containerChanges", "/v1/containers/one/changes"],
  ["listImages", "/v1/images?detail=1"],
  ["inspectImage", "/v1/images/inspect?ref=IMAGE"],
  ["imageHistory", "/v1/images/history?ref=IMAGE"],
  ["listVolumes", "/v1/volumes"],
  ["inspectVolume", "/v1/volumes/schema-data"],
  ["pauseContainer", "/v1/containers/one/pause", {}],
  ["unpauseContainer", "/v1/containers/one/unpause", {}],
  ["restartContainer", "/v1/containers/one/restart", { timeoutS: 0 }],
  ["renameContainer", "/v1/containers/one/rename", { name: "two" }],
  ["updateContainer", "/v1/containers/two/update", { resources: { pidsLimit: 100 } }],
  ["stopContainer", "/v1/containers/two/stop", { timeoutS: 0 }],
  ["waitContainer", "/v1/containers/two/wait", {}],
  ["inspectContainer", "/v1/containers/two"],
  ["startContainer", "/v1/containers/two/start", {}],
  ["killContainer", "/v1/containers/two/kill", {}],
  ["removeContainer", "/v1/containers/two/remove", { force: true, volumes: true }],
  ["createContainer", "/v1/containers", { image: "IMAGE", name: "three" }],
  ["pruneContainers", "/v1/containers/prune", {}],
  ["removeVolume", "/v1/volumes/schema-data/remove", {}],
  ["createVolume", "/v1/volumes", {}],
  ["pruneVolumes", "/v1/volumes/prune", {}],
  ["tagImage", "/v1/images/tag", { source: "IMAGE", target: "other:1" }],
  ["removeImage", "/v1/images/remove", { ref: "other:1" }],
  ["pullImage", "/v1/images/pull", { ref: "IMAGE" }],
  ["pruneImages", "/v1/images/prune", { dry_run: true, all: true }],
];

Deno.test("the real daemon's answers fit the schemas that the document gives", async () => {
  await using world = await startWorld();
  const { nyxd, image } = world;
  using http = Deno.createHttpClient({ proxy: { transport: "unix", path: nyxd.socket } });
  for (const [operation, target, body] of REQUESTS) {
    const route = ROUTES.find((one) => one.operationId === operation);
    assert.ok(route?.result, operation);
    const title = `${route.method} ${target}`;
    const response = await fetch(`http://nyxd${target.replace("IMAGE", encodeURIComponent(image))}`, {
      method: route.method,
      client: http,
      ...(body === undefined ? {} : { body: JSON.stringify(body).replaceAll("IMAGE", image) }),
    });
    const text = await response.text();
    assert.equal(response.status, 200, `${title}: ${text}`);
    const outcome = route.result.safeParse(JSON.parse(text));
    assert.ok(outcome.success, `${title}: ${outcome.error?.message} ${text}`);
  }
  const events = ROUTES.find((one) => one.operationId === "events")?.others?.[0]?.schema;
  const response = await fetch("http://nyxd/v1/events?since=0&follow=0", { client: http });
  const lines = (await response.text()).trim().split("\n");
  assert.ok(lines.length > 10);
  for (const line of lines) assert.ok(events?.safeParse(JSON.parse(line)).success, line);
});

Deno.test("real daemon: 20 MB through a container's stdin and stdout, with a signal and an exit code at the end", async () => {
  await using world = await startWorld();
  const { client } = world.nyxd;
  const attach = { stdin: true, stdout: true, stderr: true };
  const request = { image: world.image, openStdin: true, autoRemove: true, networkMode: "none", attach };
  const run = await client.containers.attachRun({ ...request, args: ["sh", "-c", "cat; exit 6"] });
  const piece = new Uint8Array(1_000_000).map((_, i) => i * 13);
  const sending = (async () => {
    for (let i = 0; i < 20; i++) assert.ok(await run.write(piece));
    await run.closeStdin();
  })();
  let received = 0;
  let code: number | undefined;
  for await (const item of run) {
    if (item.kind === "event") {
      if (item.event.event === "exit") code = item.event.exitCode;
    } else if (item.kind === "stdout") {
      assert.equal(item.bytes[0], piece[received % piece.length]);
      received += item.bytes.byteLength;
    }
  }
  await sending;
  assert.deepEqual([received, code], [20_000_000, 6]);

  const stuck = await client.containers.attachRun({ ...request, args: ["sleep", "1000"] });
  const flooding = (async () => {
    while (await stuck.write(piece));
  })();
  setTimeout(() => stuck.signal("KILL"), 500);
  for await (const item of stuck) if (item.kind === "event" && item.event.event === "exit") code = item.event.exitCode;
  await flooding;
  assert.equal(code, 137, "a signal overtakes input that nobody takes");
});
