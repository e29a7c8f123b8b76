import assert from "node:assert/strict";
import { ROUTES } from "../../daemon/control/routes/table.ts";
import { errorBody } from "../../daemon/control/schema/responses.ts";
import type { Route } from "../../daemon/control/route.ts";
import { NyxError } from "../../daemon/spec/errors.ts";
import { STREAM_TYPE } from "../../daemon/spec/frames.ts";
import { type ControlFixture, withControl } from "../support/control_server.ts";
import { EchoAttachment, FAKE_ID } from "../support/fake_services.ts";

/** Queries of routes that need one. */
const QUERIES: Record<string, string> = {
  inspectImage: "?ref=busybox",
  imageHistory: "?ref=busybox",
  saveImages: "?ref=busybox",
  containerPathStat: "?path=/etc",
  readContainerArchive: "?path=/etc",
  writeContainerArchive: "?path=/tmp",
  listContainers: "?detail=1",
  listImages: "?detail=1",
};

/** The kept HTTP client outlives one test. */
function test(title: string, fn: () => Promise<void>): void {
  Deno.test({ name: title, sanitizeResources: false, fn });
}

interface Answer {
  status: number;
  headers: Headers;
  text: string;
}

let kept: { path: string; client: Deno.HttpClient } | undefined;

/** Making one takes 100 ms, so the last is kept while its server lives. */
function httpClient(path: string): Deno.HttpClient {
  if (kept?.path !== path) {
    kept?.client.close();
    kept = { path, client: Deno.createHttpClient({ proxy: { transport: "unix", path } }) };
  }
  return kept.client;
}

globalThis.addEventListener("unload", () => kept?.client.close());

/** One request by the runtime's own HTTP client, so that ours is not its own witness. */
async function ask(
  { path }: ControlFixture,
  method: string,
  target: string,
  body?: BodyInit,
  headers?: Record<string, string>,
): Promise<Answer> {
  const client = httpClient(path);
  const response = await fetch(`http://nyxd${target}`, {
    method,
    client,
    ...(body === undefined ? {} : { body }),
    ...(headers === undefined ? {} : { headers }),
  });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

function concrete(path: string): string {
  return path.replace("{id}", "web").replace("{name}", "data").replace("{execId}", "exec1");
}

function failure(answer: Answer, title: string): { code: string; message: string; context?: Record<string, unknown> } {
  assert.ok(answer.status >= 400 && answer.status < 500, `${title}: status ${answer.status}`);
  const parsed = errorBody.safeParse(JSON.parse(answer.text));
  assert.ok(parsed.success, `${title}: ${answer.text}`);
  assert.equal(answer.headers.get("content-type"), "application/json", title);
  return parsed.data.error as { code: string; message: string };
}

interface Operation {
  operationId: string;
  parameters: { name: string; in: string; required: boolean }[];
  requestBody?: { required: boolean; content: Record<string, unknown> };
}

async function documentOf(fixture: ControlFixture) {
  const document = await fixture.client.system.openapi() as {
    openapi: string;
    paths: Record<string, Record<string, Operation>>;
    components: { schemas: Record<string, unknown> };
  };
  const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method: method.toUpperCase(), operation }))
  );
  return { document, operations };
}

function routeOf(operationId: string): Route {
  const found = ROUTES.find((route) => route.operationId === operationId);
  assert.ok(found, operationId);
  return found;
}

test("OpenAPI: every operation of the document is served, and its answer fits its schema", async () => {
  await withControl({}, async (fixture) => {
    const { operations } = await documentOf(fixture);
    assert.equal(operations.length, ROUTES.length);
    for (const { path, method, operation } of operations) {
      const { operationId: id } = operation;
      const route = routeOf(id);
      if (id === "attachContainer" || id === "execState") continue;
      const body = route.upload !== undefined
        ? "tar bytes"
        : route.example === undefined
        ? undefined
        : JSON.stringify(route.example);
      const answer = await ask(
        fixture,
        method,
        `${concrete(path)}${QUERIES[id] ?? ""}`,
        body,
        route.upload === undefined ? {} : { "content-type": route.upload },
      );
      assert.equal(answer.status, 200, `${method} ${path}: ${answer.text}`);
      if (answer.headers.get("content-type") !== "application/json") continue;
      assert.ok(route.result, `${id} answers JSON without a schema`);
      const outcome = route.result.safeParse(JSON.parse(answer.text));
      assert.ok(outcome.success, `${id}: ${outcome.error?.message} ${answer.text}`);
    }
  });
});

test("OpenAPI: every reference resolves, operation ids are unique, and each error answer is described", async () => {
  await withControl({}, async (fixture) => {
    const { document, operations } = await documentOf(fixture);
    assert.equal(document.openapi, "3.1.0");
    const text = JSON.stringify(document);
    for (const [, name = ""] of text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)) {
      assert.ok(name in document.components.schemas, name);
    }
    assert.ok(!text.includes("$defs"));
    assert.equal(new Set(operations.map(({ operation }) => operation.operationId)).size, operations.length);
    for (const { path, operation } of operations) {
      const named = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      const inPath = operation.parameters.filter((one) => one.in === "path").map((one) => one.name);
      assert.deepEqual(inPath, named, path);
    }
  });
});

test("every route refuses malformed input with 4xx and an error body, and calls nothing", async () => {
  await withControl({}, async (fixture) => {
    const { operations } = await documentOf(fixture);
    fixture.calls.length = 0;
    for (const { path, method, operation } of operations) {
      const title = `${method} ${path}`;
      const at = `${concrete(path)}${QUERIES[operation.operationId] ?? ""}`;
      const route = routeOf(operation.operationId);
      const query = await ask(fixture, method, `${at}${at.includes("?") ? "&" : "?"}bogus=1`);
      assert.equal(failure(query, title).context?.field, "bogus", title);
      if (path.includes("{")) {
        for (
          const evil of ["..%2f..%2fetc%2fpasswd", "%2e%2e%2fx", "a%00b", "%20", "-rf", "a%0ab", "x".repeat(300), "%ff"]
        ) {
          const target = at.replace(/(web|data|exec1)(?!\w)/, evil);
          const answer = await ask(fixture, method, target);
          assert.equal(failure(answer, `${title} with ${evil}`).code, "invalid_argument");
        }
      }
      if (method !== "POST" || route.upload !== undefined) continue;
      const bad = [
        "{",
        "[]",
        '"x"',
        "null",
        "1",
        '{"bogus":1}',
        '{"__proto__":{"x":1}}',
        '{"constructor":{"prototype":{}}}',
      ];
      for (const body of bad) {
        const answer = await ask(fixture, method, at, body, { "content-type": "application/json" });
        assert.equal(failure(answer, `${title} with ${body}`).code, "invalid_argument", `${title} with ${body}`);
      }
      const typed = await ask(fixture, method, at, "<x/>", { "content-type": "application/xml" });
      assert.equal(failure(typed, title).context?.field, "Content-Type");
    }
    assert.deepEqual(fixture.calls, []);
  });
});

test("wrong methods get 405 with Allow, unknown paths 404 with a suggestion, as error bodies", async () => {
  await withControl({}, async (fixture) => {
    const { operations } = await documentOf(fixture);
    const allowed = new Map<string, string[]>();
    for (const { path, method } of operations) allowed.set(path, [...(allowed.get(path) ?? []), method]);
    for (const [path, methods] of allowed) {
      for (const method of ["GET", "POST", "PUT", "DELETE", "PATCH"].filter((one) => !methods.includes(one))) {
        // A fixed path may also be a parameter's value, as prune is for {id}.
        if (/\/(prune|run|create|explain)$/.test(path)) continue;
        const answer = await ask(fixture, method, concrete(path));
        assert.equal(answer.status, 405, `${method} ${path}`);
        failure(answer, path);
        assert.equal(answer.headers.get("allow"), methods.join(", "));
      }
    }
    const unknown = failure(await ask(fixture, "GET", "/v1/containres"), "unknown path");
    assert.equal(unknown.code, "not_found");
    assert.match(unknown.message, /did you mean \/v1\/containers\?/);
    for (const path of ["/", "/v2/ping", "//v1/ping", "/v1/../v1/nope", "/v1/containers/a/b/c/d", "/V1/PING"]) {
      assert.equal((await ask(fixture, "GET", path)).status, 404, path);
    }
  });
});

test("older request forms become a ContainerConfig", async () => {
  await withControl({}, async (fixture) => {
    const body = {
      id: "web",
      image: "nginx",
      args: ["-g", "daemon off;"],
      env: { A: "1", B: 2, C: true },
      hostname: "h1",
      restart: "on-failure:3",
      publish: ["127.0.0.1:8080:80/udp", { hostPort: 1, containerPort: 2 }],
      ports: [{ hostPort: 9000, containerPort: 90, protocol: "tcp" }],
      healthcheck: {
        type: "exec",
        command: "curl -f localhost",
        interval: "1m30s",
        timeout: "500ms",
        start_period: "2s",
      },
      stopSignal: "int",
    };
    const answer = await ask(fixture, "POST", "/v1/containers/run", JSON.stringify(body));
    assert.equal(answer.status, 200, answer.text);
    assert.deepEqual(fixture.calls[0], {
      method: "containers.create",
      args: [{
        name: "web",
        image: "nginx",
        args: ["-g", "daemon off;"],
        env: ["A=1", "B=2", "C=true"],
        hostname: "h1",
        restart: { name: "on-failure", maxRetries: 3 },
        publish: [
          { hostIp: "127.0.0.1", hostPort: 8080, containerPort: 80, protocol: "udp" },
          { hostPort: 1, containerPort: 2 },
          { hostPort: 9000, containerPort: 90, protocol: "tcp" },
        ],
        healthcheck: {
          type: "exec",
          command: ["curl -f localhost"],
          shell: true,
          intervalMs: 90_000,
          timeoutMs: 500,
          startPeriodMs: 2000,
        },
        stopSignal: "SIGINT",
      }, { durable: false }],
    });
    const parsed = JSON.parse(answer.text);
    assert.deepEqual([parsed.ok, parsed.id, parsed.image], [true, FAKE_ID, "nginx"]);
  });
});

test("faults name field, value and fix", async () => {
  const cases: [unknown, string, RegExp][] = [
    [{ imgae: "x" }, "imgae", /Unknown field "imgae" in request body: did you mean "image"\?/],
    [{ image: "x", working_dir: "/" }, "working_dir", /did you mean "workingDir"/],
    [{}, "image", /Invalid image "": it is missing and required/],
    [{ image: 5 }, "image", /Invalid image "5": it must be text/],
    [{ image: "../../etc" }, "image", /REPOSITORY/],
    [{ image: "a/../b" }, "image", /no \.\. in it/],
    [{ image: "x", publish: ["99999:80"] }, "publish[0]", /Invalid publish\[0\] "99999:80": ports lie between/],
    [{ image: "x", publish: [{ hostPort: 70000, containerPort: 1 }] }, "publish[0].hostPort", /at most 65535/],
    [{ image: "x", publish: [{ hostPort: 1, containerPort: 1, protocl: "udp" }] }, "publish[0].protocl", /"protocol"/],
    [{ image: "x", publish: [7] }, "publish[0]", /HOST-PORT:CONTAINER-PORT/],
    [{ image: "x", restart: "sometimes" }, "restart", /use no, always, unless-stopped/],
    [{ image: "x", healthcheck: { command: ["x"], interval: "5 parsecs" } }, "healthcheck.interval", /parsecs/],
    [{ image: "x", healthcheck: { type: "http" } }, "healthcheck.url", /type http needs url/],
    [{ image: "x", env: ["=v"] }, "env[0]", /NAME=VALUE/],
    [{ image: "x", env: 7 }, "env", /\["NAME=VALUE", …\]/],
    [{ image: "x", labels: { a: 1 } }, "labels.a", /it must be text/],
    [{ image: "x", mounts: [{ type: "bind", source: "rel", target: "/x" }] }, "mounts[0].source", /absolute/],
    [{ image: "x", mounts: [{ type: "bnid", target: "/x" }] }, "mounts[0].type", /bind, volume or tmpfs/],
    [{ image: "x", mounts: [{ type: "tmpfs", target: "/" }] }, "mounts[0].target", /cannot be mounted over/],
    [{ image: "x", name: "a/b" }, "name", /letter or digit/],
    [{ image: "x", name: "a", id: "b" }, "id", /older name of name/],
    [{ image: "x", capAdd: ["FLY"] }, "capAdd[0]", /no capability of Linux/],
    [{ image: "x", args: ["a\0b"] }, "args[0]", /NUL/],
    [{ image: "x", resources: { memoryByte: 1 } }, "resources.memoryByte", /"memoryBytes"/],
    [{ image: "x", ulimits: [{ name: "nofile", soft: 5, hard: 1 }] }, "ulimits[0].soft", /cannot exceed/],
    [{ image: "x", ulimits: [{ name: "nofiles", soft: 5, hard: 9 }] }, "ulimits[0].name", /nofile/],
  ];
  await withControl({}, async (fixture) => {
    for (const [body, field, message] of cases) {
      const title = JSON.stringify(body);
      const error = failure(await ask(fixture, "POST", "/v1/containers", JSON.stringify(body)), title);
      assert.equal(error.code, "invalid_argument", title);
      assert.equal(error.context?.field, field, `${title}: ${error.message}`);
      assert.match(error.message, message, title);
    }
    assert.deepEqual(fixture.calls, []);
  });
});

test("a refused password is never repeated", async () => {
  await withControl({}, async (fixture) => {
    for (
      const body of [{ ref: "x", password: ["hunter2"] }, { ref: 1, password: "hunter2" }, {
        ref: "x",
        pasword: "hunter2",
      }]
    ) {
      const answer = await ask(fixture, "POST", "/v1/images/pull", JSON.stringify(body));
      failure(answer, "password");
      assert.ok(!answer.text.includes("hunter2"), answer.text);
    }
  });
});

test("services' errors keep their code and status; what is thrown otherwise becomes internal with an incident", async () => {
  const statuses = [
    ["not_found", 404],
    ["already_exists", 409],
    ["failed_precondition", 409],
    ["unavailable", 503],
    [
      "resource_exhausted",
      507,
    ],
    ["unauthenticated", 401],
    ["permission_denied", 403],
    ["unimplemented", 501],
  ] as const;
  for (const [code, status] of statuses) {
    const parts = {
      containers: { stop: () => Promise.reject(new NyxError(code, "told", { context: { id: "web" } })) },
    };
    await withControl(parts, async (fixture) => {
      const answer = await ask(fixture, "POST", "/v1/containers/web/stop");
      assert.equal(answer.status, status);
      assert.deepEqual(JSON.parse(answer.text), { error: { code, message: "told", context: { id: "web" } } });
      await assert.rejects(fixture.client.containers.stop("web"), { name: "NyxError", code, message: "told" });
    });
  }
  const thrown: unknown[] = [new TypeError("x is undefined"), "text", null, 7];
  for (const what of thrown) {
    const parts = {
      containers: {
        stop: (): Promise<never> => Promise.reject(what),
        kill: (): never => {
          throw what;
        },
      },
    };
    await withControl(parts, async (fixture) => {
      for (const verb of ["stop", "kill"]) {
        const answer = await ask(fixture, "POST", `/v1/containers/web/${verb}`);
        assert.equal(answer.status, 500);
        const { error } = JSON.parse(answer.text);
        assert.match(error.message, /incident [0-9a-f]{8}/);
        assert.ok(fixture.log.some((line) => line.fields.incident === error.context.incident));
      }
      assert.equal(await fixture.client.system.ping(), true);
    });
  }
});

test("run with stream: pull events, then the run; a failure is the last line", async () => {
  const missing = () => Promise.reject(new NyxError("not_found", "no image", { context: { image: "x" } }));
  let made = false;
  const create = (config: { image: string }) => {
    if (!made) {
      made = true;
      return missing();
    }
    return Promise.resolve({ ok: true as const, id: FAKE_ID, name: "n", image: config.image, warnings: [] });
  };
  await withControl({ containers: { create } }, async (fixture) => {
    const answer = await ask(fixture, "POST", "/v1/containers/run", '{"image":"x","stream":true}');
    assert.equal(answer.headers.get("content-type"), "application/x-ndjson");
    const lines = answer.text.trim().split("\n").map((line) => JSON.parse(line));
    assert.deepEqual(lines.map((line) => line.phase), ["begin", "run"]);
    assert.deepEqual([lines[1].ok, lines[1].container_id, lines[1].ref], [true, FAKE_ID, "x"]);
    const events: string[] = [];
    made = false;
    const run = await fixture.client.containers.run({ image: "x" }, { onEvent: (event) => events.push(event.phase) });
    assert.deepEqual([run.id, events], [FAKE_ID, ["begin"]]);
  });
  await withControl({ containers: { create: missing } }, async (fixture) => {
    const never = await ask(fixture, "POST", "/v1/containers/run", '{"image":"x","pull":"never"}');
    assert.match(failure(never, "never").message, /pull is "never"/);
    assert.ok(!fixture.calls.some((call) => call.method === "images.pull"));
    const answer = await ask(fixture, "POST", "/v1/containers/run", '{"image":"x","stream":true}');
    const last = JSON.parse(answer.text.trim().split("\n").at(-1) ?? "");
    assert.deepEqual([last.phase, last.error.code], ["error", "not_found"]);
    await assert.rejects(fixture.client.containers.run({ image: "x" }, { onEvent: () => {} }), { code: "not_found" });
  });
});

test("client: typed calls reach their services with what they were given", async () => {
  await withControl({}, async ({ client, calls }) => {
    assert.equal(
      (await client.containers.list({ all: false, filters: { label: ["a=b", "c"], status: ["running"] } })).length,
      1,
    );
    assert.deepEqual(calls.at(-1)?.args, [{ all: false, filters: { label: ["a=b", "c"], status: ["running"] } }]);
    assert.equal((await client.containers.inspect("web")).id, FAKE_ID);
    assert.equal((await client.containers.create({ image: "x", name: "n" })).name, "n");
    assert.deepEqual(await client.containers.kill("web", "HUP"), { ok: true, id: FAKE_ID, signal: "SIGHUP" });
    await client.containers.stop("web", { timeoutS: 0, signal: "9" });
    assert.deepEqual(calls.at(-1)?.args, ["web", { timeoutS: 0, signal: "SIGKILL" }]);
    await client.containers.remove("web", { force: true });
    assert.deepEqual(calls.at(-1)?.args, ["web", { force: true, volumes: false }]);
    const add = [{ hostPort: 8080, containerPort: 80 }];
    await client.containers.update("web", {
      restart: "on-failure:2",
      resources: { memoryBytes: 5 },
      publish: { from: "old", add },
    });
    assert.deepEqual(calls.at(-1)?.args, ["web", { memoryBytes: 5 }, "on-failure:2", { from: "old", add }]);
    assert.deepEqual(await client.containers.wait("web", "next-exit"), { exitCode: 3 });
    assert.equal((await client.containers.rename("web", "w2")).name, "w2");
    assert.deepEqual((await client.containers.top("web")).titles, ["PID"]);
    assert.equal((await client.containers.changes("web"))[0]?.path, "/x");
    let log = "";
    const since = { tail: 5, since: "1700000000.5", format: "jsonl" } as const;
    for await (const bytes of client.containers.logs("web", since)) log += new TextDecoder().decode(bytes);
    assert.equal(log, "line\n");
    assert.deepEqual(calls.at(-1)?.args[1], {
      follow: false,
      stdout: true,
      stderr: true,
      timestamps: false,
      format: "jsonl",
      tail: 5,
      since: "2023-11-14T22:13:20.500000000Z",
    });
    for await (const sample of client.containers.statsStream("web", { intervalMs: 100 })) {
      assert.equal(sample.cpu_ns, 1);
      break;
    }
    const phases: string[] = [];
    const pulled = await client.images.pull({ ref: "busybox" }, { onEvent: (event) => phases.push(event.phase) });
    assert.deepEqual([pulled.digest, phases], ["sha256:01", ["begin", "done"]]);
    assert.deepEqual(await client.images.refs(), ["docker.io/library/busybox:latest"]);
    assert.equal((await client.images.history("busybox")).length, 1);
    await client.images.tag("a", "b");
    const loaded = await client.images.load((async function* () {
      for (let i = 0; i < 20; i++) yield new Uint8Array(100_000);
    })());
    assert.deepEqual(loaded.refs, ["loaded:2000000"]);
    let saved = "";
    for await (const bytes of client.images.save(["a", "b"])) saved += new TextDecoder().decode(bytes);
    assert.equal(saved, "tar");
    assert.deepEqual(calls.at(-1)?.args, [["a", "b"], "docker-archive"]);
    assert.equal((await client.volumes.list())[0]?.name, "data");
    await client.volumes.remove("data", { force: true });
    assert.deepEqual(calls.at(-1)?.args, ["data", true]);
    for await (const event of client.system.events({ filters: { type: ["container"] } })) {
      assert.equal(event.action, "start");
    }
    assert.equal((await client.system.version()).daemon, "nyxd");
    await client.system.shutdown({ timeoutS: 1 });
    assert.deepEqual(calls.at(-1)?.args, [{ timeoutS: 1 }]);
  });
});

test("start: framed with the attachment in place, plain without", async () => {
  const attachment = new EchoAttachment();
  const start = (_ref: string, attach?: unknown) =>
    Promise.resolve({ id: FAKE_ID, pid: 9, ...(attach === undefined ? {} : { attachment }) });
  await withControl({ containers: { start } }, async ({ client, calls }) => {
    assert.deepEqual(await client.containers.start("web"), { ok: true, id: FAKE_ID, pid: 9 });
    const stream = await client.containers.attachStart("web", { stdout: true, stderr: false });
    assert.deepEqual(calls.at(-1)?.args[1], { stdin: false, stdout: true, stderr: false });
    attachment.finish(0);
    const events: unknown[] = [];
    for await (const item of stream) if (item.kind === "event") events.push(item.event);
    assert.deepEqual(events, [
      { event: "started", id: FAKE_ID, pid: 9 },
      { event: "exit", exitCode: 0, oomKilled: false },
    ]);
    assert.equal(STREAM_TYPE, "application/vnd.nyx.stream");
  });
});
