import assert from "node:assert/strict";
import { type ReceivedSpan, startOtlpReceiver } from "../support/otlp_receiver.ts";
import { startWorld } from "../support/world.ts";
import { eventually } from "../support/eventually.ts";

const until = (what: string, check: () => boolean | Promise<boolean>) => eventually(what, check, 15_000);

Deno.test("OTEL_DENO=true: requests are spans with those of the stages below them, metrics are exported; no permission more is needed", async () => {
  await using receiver = startOtlpReceiver();
  const env = {
    OTEL_DENO: "true",
    OTEL_SERVICE_NAME: "nyxd",
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
    OTEL_BSP_SCHEDULE_DELAY: "100",
    OTEL_METRIC_EXPORT_INTERVAL: "500",
  };
  await using world = await startWorld({ env });
  const { nyxd, image } = world;
  const { id } = await nyxd.client.containers.run({ image, args: ["true"] });
  await nyxd.client.containers.wait(id);
  await assert.rejects(nyxd.client.containers.inspect("no-such"));
  const named = (name: string) => receiver.spans.filter((s) => s.name === name);
  const attribute = (span: ReceivedSpan | undefined, key: string) =>
    Object.values(span?.attributes.find((a) => a.key === key)?.value ?? {})[0];
  await until("spans", () => named("streams.launch").length > 0 && named("GET /v1/containers/{id}").length > 0);
  await until("the request's span", () => named("POST /v1/containers/run").length > 0);
  const [run] = named("POST /v1/containers/run");
  const [launch] = named("streams.launch");
  assert.equal(attribute(run, "http.route"), "/v1/containers/run");
  assert.equal(Number(attribute(run, "http.response.status_code")), 200);
  assert.deepEqual(
    [launch?.traceId, launch?.parentSpanId],
    [run?.traceId, run?.spanId],
    "the stage's hangs below the request's",
  );
  for (const stage of ["rootfs.mount", "network.setup", "bundle.generate"]) {
    assert.equal(named(stage).at(-1)?.traceId, run?.traceId, stage);
  }
  const failed = named("GET /v1/containers/{id}").find((s) => attribute(s, "error.type") === "not_found");
  assert.equal(failed?.status?.code, 2);
  await until("metrics", () => receiver.metrics.has("nyxd_containers") && receiver.metrics.has("nyxd.stage.duration"));
  await until("the container's state", () => receiver.metrics.get("nyxd_containers")?.includes('"exited"') === true);
  assert.match(receiver.metrics.get("nyxd.stage.duration") ?? "", /"launch"/);
});

Deno.test("without OTEL_DENO nothing is sent, whatever else is set", async () => {
  await using receiver = startOtlpReceiver();
  await using world = await startWorld({
    env: {
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: "http/json",
      OTEL_BSP_SCHEDULE_DELAY: "50",
    },
  });
  await world.nyxd.client.system.ping();
  await new Promise((r) => setTimeout(r, 300));
  assert.deepEqual([receiver.spans.length, receiver.metrics.size], [0, 0]);
});
