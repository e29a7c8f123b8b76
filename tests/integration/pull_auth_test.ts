import { strict as assert } from "node:assert";
import { NyxError } from "../../daemon/spec/errors.ts";
import type { RegistryCredentials } from "../../daemon/spec/image.ts";
import { startFlakyProxy } from "../support/flaky_proxy.ts";
import { type PullWorker, startTestPullWorker } from "../support/pull_worker.ts";
import { BASIC_PASSWORD, BASIC_USER, startRegistry } from "../support/registry.ts";
import { putImage, randomBytes } from "../support/registry_content.ts";
import { startTokenServer, type TokenServer } from "../support/token_server.ts";

const PLATFORM = { os: "linux", architecture: "amd64" };
const USER: RegistryCredentials = { username: BASIC_USER, password: BASIC_PASSWORD };
const BASIC = `Basic ${btoa(`${BASIC_USER}:${BASIC_PASSWORD}`)}`;
const WRONG_PASSWORD = "wr0ng-p4ssword";

function resolve(worker: PullWorker, ref: string, credentials?: RegistryCredentials) {
  return worker.host.call("resolve", {
    ref,
    platform: PLATFORM,
    ...(credentials === undefined ? {} : { credentials }),
  });
}

async function failure(promise: Promise<unknown>): Promise<NyxError> {
  try {
    await promise;
  } catch (e) {
    assert.ok(e instanceof NyxError, `not a NyxError: ${e}`);
    return e;
  }
  throw new Error("it did not fail");
}

/** Everything an error or log could show. */
function visible(e: NyxError, worker: PullWorker): string {
  return JSON.stringify([e.message, e.stack, e.details, worker.logs]);
}

async function pushAuthorization(server: TokenServer, scope: string, user: string, password: string): Promise<string> {
  const url = new URL(server.auth.realm);
  url.searchParams.set("service", server.auth.service);
  url.searchParams.set("scope", scope);
  const answer = await fetch(url, { headers: { authorization: `Basic ${btoa(`${user}:${password}`)}` } });
  const { token } = await answer.json();
  server.requests.length = 0;
  return `Bearer ${token}`;
}

Deno.test("pull: basic auth takes the right password, and refuses none and a wrong one without showing it", async () => {
  await using registry = await startRegistry({ auth: "basic" });
  await using worker = await startTestPullWorker();
  const image = await putImage({ host: registry.host, repository: "app", authorization: BASIC }, {
    layers: [randomBytes(1000)],
  });
  const none = await failure(resolve(worker, image.ref));
  assert.equal(none.code, "unauthenticated");
  assert.match(none.message, /nyx login 127\.0\.0\.1/);
  const wrong = await failure(resolve(worker, image.ref, { username: BASIC_USER, password: WRONG_PASSWORD }));
  assert.equal(wrong.code, "unauthenticated");
  assert.ok(!visible(wrong, worker).includes(WRONG_PASSWORD));
  assert.ok(!visible(wrong, worker).includes(btoa(`${BASIC_USER}:${WRONG_PASSWORD}`)));
  assert.equal((await resolve(worker, image.ref, USER)).manifestDigest, image.manifestDigest);
  const [layer] = image.layers;
  assert.ok(layer !== undefined);
  const got = await worker.host.call("fetchBlob", { ref: image.ref, credentials: USER, descriptor: layer });
  assert.equal(got.downloaded, layer.size);
  const after = await failure(resolve(worker, image.ref, { username: BASIC_USER, password: WRONG_PASSWORD }));
  assert.equal(after.code, "unauthenticated", "a right login of one user must not serve another");
});

Deno.test("pull: token auth gets one token a repository, for its scope, with the service as quoted, and reuses it", async () => {
  await using tokens = await startTokenServer({ users: { bob: "pa:ss" } });
  await using registry = await startRegistry({ auth: { token: tokens.auth } });
  await using worker = await startTestPullWorker();
  const authorization = await pushAuthorization(tokens, "repository:team/app:pull,push", "bob", "pa:ss");
  const image = await putImage({ host: registry.host, repository: "team/app", authorization }, {
    layers: Array.from({ length: 12 }, () => randomBytes(500)),
  });
  const bob = { username: "bob", password: "pa:ss" };
  await resolve(worker, image.ref, bob);
  await Promise.all(
    image.layers.map((descriptor) => worker.host.call("fetchBlob", { ref: image.ref, credentials: bob, descriptor })),
  );
  assert.equal(tokens.requests.length, 1);
  const [request] = tokens.requests;
  assert.deepEqual(request?.scopes, ["repository:team/app:pull"]);
  assert.equal(request?.service, tokens.auth.service);
  assert.equal(request?.user, "bob");
  const anonymous = await failure(resolve(worker, image.ref));
  assert.equal(anonymous.code, "unauthenticated", "the token of bob must not serve an anonymous request");
  const wrong = await failure(resolve(worker, image.ref, { username: "bob", password: WRONG_PASSWORD }));
  assert.equal(wrong.code, "unauthenticated");
  assert.ok(!visible(wrong, worker).includes(WRONG_PASSWORD));
});

Deno.test("pull: an anonymous token is enough where the server gives one", async () => {
  await using tokens = await startTokenServer({ users: { bob: "pw" }, anonymousPull: true });
  await using registry = await startRegistry({ auth: { token: tokens.auth } });
  await using worker = await startTestPullWorker();
  const authorization = await pushAuthorization(tokens, "repository:app:pull,push", "bob", "pw");
  const image = await putImage({ host: registry.host, repository: "app", authorization }, { layers: [] });
  assert.equal((await resolve(worker, image.ref)).manifestDigest, image.manifestDigest);
  assert.equal(tokens.requests[0]?.authorization, undefined);
});

Deno.test("pull: a token that the registry no longer takes is replaced once, without an error", async () => {
  await using tokens = await startTokenServer({ users: { bob: "pw" } });
  await using registry = await startRegistry({ auth: { token: tokens.auth } });
  await using worker = await startTestPullWorker();
  const authorization = await pushAuthorization(tokens, "repository:app:pull,push", "bob", "pw");
  const image = await putImage({ host: registry.host, repository: "app", authorization }, { layers: [] });
  const bob = { username: "bob", password: "pw" };
  await resolve(worker, image.ref, bob);
  // The registry comes back with another signing key: the token that the worker holds is worthless now.
  await using others = await startTokenServer({ users: { bob: "pw" } });
  assert.notEqual(others.auth.realm, tokens.auth.realm);
  await registry.stop();
  await using again = await startRegistry({ auth: { token: others.auth }, port: registry.port });
  const pushed = await putImage({
    host: again.host,
    repository: "app",
    authorization: await pushAuthorization(others, "repository:app:pull,push", "bob", "pw"),
  }, { layers: [] });
  assert.equal((await resolve(worker, pushed.ref, bob)).manifestDigest, pushed.manifestDigest);
  assert.equal(others.requests.length, 1);
});

Deno.test("login: gives a refresh token, with which a pull works by OAuth2 and without any password", async () => {
  await using tokens = await startTokenServer({ users: { bob: "pw" } });
  await using registry = await startRegistry({ auth: { token: tokens.auth } });
  await using worker = await startTestPullWorker();
  const authorization = await pushAuthorization(tokens, "repository:app:pull,push", "bob", "pw");
  const image = await putImage({ host: registry.host, repository: "app", authorization }, { layers: [] });
  const { identityToken } = await worker.host.call("login", {
    registry: registry.host,
    credentials: { username: "bob", password: "pw" },
  });
  assert.equal(identityToken, tokens.refreshTokens.get("bob"));
  assert.ok(identityToken !== undefined);
  tokens.requests.length = 0;
  await resolve(worker, image.ref, { username: "bob", identityToken });
  assert.deepEqual(tokens.requests.map((r) => [r.method, r.user, r.authorization]), [["POST", "bob", undefined]]);
  const refused = await failure(resolve(worker, image.ref, { identityToken: "refresh-forged" }));
  assert.equal(refused.code, "unauthenticated");
  assert.ok(!visible(refused, worker).includes("refresh-forged"));
});

Deno.test("login: unauthenticated for a wrong password, accepted with Basic, and by a registry that wants none", async () => {
  await using basic = await startRegistry({ auth: "basic" });
  await using open = await startRegistry();
  await using worker = await startTestPullWorker();
  assert.deepEqual(await worker.host.call("login", { registry: basic.host, credentials: USER }), {});
  assert.deepEqual(await worker.host.call("login", { registry: `http://${open.host}/v2/`, credentials: USER }), {});
  const wrong = await failure(
    worker.host.call("login", { registry: basic.host, credentials: { username: "x", password: WRONG_PASSWORD } }),
  );
  assert.equal(wrong.code, "unauthenticated");
  assert.ok(!visible(wrong, worker).includes(WRONG_PASSWORD));
  assert.equal(
    (await failure(worker.host.call("login", { registry: "bad host", credentials: USER }))).code,
    "invalid_argument",
  );
});

Deno.test("attack: a redirect to another host or port gets neither password nor token", async () => {
  await using registry = await startRegistry({ auth: "basic" });
  await using open = await startRegistry();
  await using thief = startFlakyProxy(open.host);
  await using front = startFlakyProxy(registry.host);
  await using worker = await startTestPullWorker();
  const layers = [randomBytes(2000)];
  const image = await putImage({ host: registry.host, repository: "app", authorization: BASIC }, { layers });
  await putImage({ host: open.host, repository: "app" }, { layers });
  front.misbehave = (request) =>
    request.headers.has("authorization") && request.path.includes("/blobs/")
      ? { kind: "redirect", to: `http://${thief.host}` }
      : undefined;
  const ref = image.ref.replace(registry.host, front.host);
  await resolve(worker, ref, USER);
  const [layer] = image.layers;
  assert.ok(layer !== undefined);
  await worker.host.call("fetchBlob", { ref, credentials: USER, descriptor: layer });
  assert.ok(thief.requests.length > 0, "the redirect was not followed");
  for (const request of thief.requests) {
    assert.equal(request.headers.get("authorization"), null);
    assert.ok(!JSON.stringify([...request.headers]).includes(btoa(`${BASIC_USER}:${BASIC_PASSWORD}`)));
  }
});

Deno.test("attack: a challenge from a host that a redirect led to is never answered", async () => {
  await using registry = await startRegistry();
  await using thief = startFlakyProxy(registry.host);
  await using front = startFlakyProxy(registry.host);
  await using worker = await startTestPullWorker();
  const image = await putImage({ host: registry.host, repository: "app" }, { layers: [] });
  thief.misbehave = () => ({
    kind: "respond",
    status: 401,
    headers: { "www-authenticate": `Bearer realm="http://${thief.host}/token",service="x"` },
  });
  front.misbehave = () => ({ kind: "redirect", to: `http://${thief.host}` });
  const error = await failure(resolve(worker, image.ref.replace(registry.host, front.host), USER));
  assert.equal(error.code, "unauthenticated");
  assert.ok(thief.requests.every((r) => !r.path.startsWith("/token") && r.headers.get("authorization") === null));
});

Deno.test("attack: a realm on another host over plain http gets no credentials", async () => {
  await using registry = await startRegistry();
  await using front = startFlakyProxy(registry.host, () => ({
    kind: "respond",
    status: 401,
    headers: { "www-authenticate": 'Bearer realm="http://collector.example.org/token",service="x"' },
  }));
  await using worker = await startTestPullWorker();
  const error = await failure(resolve(worker, `${front.host}/app:latest`, USER));
  assert.equal(error.code, "unauthenticated");
  assert.match(error.message, /not protected by https/);
});

Deno.test("attack: a registry that echoes the credentials in its error does not get them into message or log", async () => {
  await using registry = await startRegistry();
  await using front = startFlakyProxy(registry.host);
  await using worker = await startTestPullWorker();
  front.misbehave = (request) => {
    const authorization = request.headers.get("authorization");
    if (authorization === null) {
      return { kind: "respond", status: 401, headers: { "www-authenticate": 'Basic realm="x"' } };
    }
    const message = `denied ${authorization} ${BASIC_PASSWORD}\n\u001b[31mred`;
    return { kind: "respond", status: 403, body: JSON.stringify({ errors: [{ code: "DENIED", message }] }) };
  };
  const error = await failure(resolve(worker, `${front.host}/app:latest`, USER));
  assert.equal(error.code, "permission_denied");
  const seen = visible(error, worker);
  assert.ok(!seen.includes(BASIC_PASSWORD) && !seen.includes(btoa(`${BASIC_USER}:${BASIC_PASSWORD}`)), seen);
  assert.match(error.message, /DENIED: denied/);
  assert.ok(!error.message.includes("\u001b"));
});
