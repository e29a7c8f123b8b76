import assert from "node:assert/strict";
import { watchRules, workOf } from "../../cli/compose/watch_rules.ts";
import { load } from "./memory.ts";

const TEXT = `
services:
  web:
    image: x
    build: .
    develop:
      watch:
        - {action: sync, path: ./src, target: /app/src/, ignore: [node_modules, "*.log"]}
        - {action: rebuild, path: package.json}
        - {action: sync+restart, path: ./conf, target: /etc/web, include: ["*.conf"]}
        - {action: sync+exec, path: ./css, target: /css, exec: {command: make}, initial_sync: true}
  other: {image: y, develop: {watch: [{action: restart, path: ./src}]}}
  none: {image: z}
`;

Deno.test("watchRules: each change finds its rules; ignore, include, .dockerignore and editors' files are left out; rebuild wins", async () => {
  const { model } = await load(TEXT);
  const files: Record<string, string> = { "/srv/shop/.dockerignore": "src/secret\n!src/secret/public\n" };
  const rules = watchRules(model, [], (path) => files[path]);
  assert.deepEqual(rules.map((r) => [r.service, r.action, r.path, r.target]), [
    ["web", "sync", "/srv/shop/src", "/app/src"],
    ["web", "rebuild", "/srv/shop/package.json", undefined],
    ["web", "sync+restart", "/srv/shop/conf", "/etc/web"],
    ["web", "sync+exec", "/srv/shop/css", "/css"],
    ["other", "restart", "/srv/shop/src", undefined],
  ]);
  const work = (...paths: string[]) =>
    workOf(rules, paths.map((path) => `/srv/shop/${path}`)).map((w) => [
      w.service,
      w.rebuild ? "rebuild" : w.restart ? "restart" : w.exec.length > 0 ? "exec" : "sync",
      w.sync.flatMap((s) => s.relative),
    ]);
  assert.deepEqual(work("src/a.js", "src/deep/b.js"), [
    ["other", "restart", []],
    ["web", "sync", ["a.js", "deep/b.js"]],
  ]);
  assert.deepEqual(
    work("src/node_modules/x", "src/a.log", "src/secret/key", "src/.a.js.swp", "src/.git/HEAD").filter((w) =>
      w[0] === "web"
    ),
    [],
  );
  assert.deepEqual(work("src/secret/public").at(-1), ["web", "sync", ["secret/public"]]);
  assert.deepEqual(work("conf/a.conf", "conf/a.txt"), [["web", "restart", ["a.conf"]]]);
  assert.deepEqual(work("css/a.css"), [["web", "exec", ["a.css"]]]);
  assert.deepEqual(work("package.json", "css/a.css"), [["web", "rebuild", []]]);
  assert.deepEqual(work("elsewhere", "srcx/a"), []);
  assert.deepEqual(watchRules(model, ["none"], () => undefined), []);
});
