import assert from "node:assert/strict";
import { NyxError } from "../../mod.ts";
import { bar, PullState, renderPull, SpeedMeter } from "./bars.ts";
import { paint, wantsColor } from "./color.ts";
import { containerView, portText } from "./container_view.ts";
import { escapeControls, escapeControlsInLines, safeJson } from "./escape.ts";
import { familiarName, imageViews } from "./image_view.ts";
import { renderObjects, renderRows, withLabel } from "./rows.ts";
import { statsView } from "./stats_view.ts";
import { renderTable } from "./table.ts";
import { Template } from "./template.ts";
import { humanDuration } from "../../daemon/spec/time.ts";
import { clockDuration, resolveTime, timeAgo } from "./time.ts";
import { displayWidth, padEnd, truncate } from "./width.ts";

Deno.test("escapeControls: a name cannot move the cursor, colour, set a title or reorder text", () => {
  assert.equal(
    escapeControls("\u001b[2J\u001b]0;pwned\u0007x\r\n\u009b1A\u202etxt"),
    "\\x1b[2J\\x1b]0;pwned\\x07x\\r\\n\\x9b1A\\u202etxt",
  );
  assert.equal(escapeControls("größe 日本 🙂"), "größe 日本 🙂");
  assert.equal(escapeControlsInLines("a\n\tb\u001b"), "a\n\tb\\x1b");
});

Deno.test("displayWidth, truncate and padEnd: wide characters count two, marks none, colour none", () => {
  assert.deepEqual(["abc", "日本", "e\u0301", "\u001b[31mred\u001b[39m", "🙂"].map(displayWidth), [3, 4, 1, 3, 2]);
  assert.deepEqual([truncate("abcdef", 4), truncate("日本語", 4), truncate("abc", 3), truncate("abc", 0)], [
    "abc…",
    "日…",
    "abc",
    "",
  ]);
  assert.equal(padEnd("日", 4), "日  ");
});

Deno.test("renderTable: columns three blanks apart, no blanks at line ends", () => {
  assert.equal(
    renderTable(["A", "LONG HEAD"], [["wide 日本", "x"], ["b", ""]]),
    "A           LONG HEAD\nwide 日本   x\nb\n",
  );
});

Deno.test("humanDuration and timeAgo: Docker's words", () => {
  const s = 1000;
  const cases: [number, string][] = [
    [0, "Less than a second"],
    [s, "1 second"],
    [59 * s, "59 seconds"],
    [60 * s, "About a minute"],
    [150 * s, "2 minutes"],
    [3600 * s, "About an hour"],
    [2 * 3600 * s, "2 hours"],
    [47 * 3600 * s, "47 hours"],
    [48 * 3600 * s, "2 days"],
    [15 * 86400 * s, "2 weeks"],
    [70 * 86400 * s, "2 months"],
    [800 * 86400 * s, "2 years"],
  ];
  for (const [ms, text] of cases) assert.equal(humanDuration(ms), text);
  assert.equal(timeAgo("2026-01-01T00:00:00Z", Date.parse("2026-01-01T00:05:00Z")), "5 minutes ago");
  assert.deepEqual([undefined, "x", "0001-01-01T00:00:00Z"].map((text) => timeAgo(text, 0)), ["N/A", "N/A", "N/A"]);
  assert.deepEqual([0, 59.2, 61, 3661].map(clockDuration), ["00:00", "01:00", "01:01", "1:01:01"]);
});

Deno.test("resolveTime: times keep their nanoseconds, spans count back, seconds since 1970", () => {
  const now = Date.parse("2026-01-01T00:10:00Z");
  const span = (text: string) => text === "10m" ? 600_000 : undefined;
  assert.equal(resolveTime("10m", now, span), "2026-01-01T00:00:00.000Z");
  assert.equal(resolveTime("2026-01-01T00:00:00.123456789Z", now, span), "2026-01-01T00:00:00.123456789Z");
  assert.equal(resolveTime("1767225600", now, span), "2026-01-01T00:00:00.000Z");
  assert.deepEqual(["2026-99-99", "yesterday"].map((text) => resolveTime(text, now, span)), [undefined, undefined]);
});

Deno.test("wantsColor: NO_COLOR wins, CLICOLOR_FORCE without a terminal, TERM=dumb, CLICOLOR=0", () => {
  const env = (values: Record<string, string>) => (name: string) => values[name];
  assert.equal(wantsColor(true, env({})), true);
  assert.equal(wantsColor(true, env({ NO_COLOR: "1", CLICOLOR_FORCE: "1" })), false);
  assert.equal(wantsColor(false, env({ CLICOLOR_FORCE: "1" })), true);
  assert.equal(wantsColor(true, env({ TERM: "dumb" })), false);
  assert.equal(wantsColor(true, env({ CLICOLOR: "0" })), false);
  assert.equal(paint(false).red("x"), "x");
});

Deno.test("Template: what Docker's users write", () => {
  const value = {
    Names: "web",
    state: { exit_code: 3, running: false },
    list: ["a", "b"],
    map: { b: { ip: "2" }, a: { ip: "1" } },
    n: 0,
  };
  const cases: [string, string][] = [
    ["{{.Names}}\t{{.State.ExitCode}}", "web\t3"],
    ["{{json .list}} {{json .}}".slice(0, 14), '["a","b"]'],
    ["{{range .map}}{{.ip}},{{end}}", "1,2,"],
    ["{{range $k, $v := .map}}{{$k}}={{$v.ip}} {{end}}", "a=1 b=2 "],
    ["{{range $i, $x := .list}}{{if $i}}, {{end}}{{$x}}{{end}}", "a, b"],
    ['{{if .state.running}}up{{else if eq .Names "web"}}web{{else}}down{{end}}', "web"],
    ["{{with .n}}x{{else}}none{{end}}", "none"],
    ['{{index .list 1}} {{index .map "a" "ip"}} {{len .list}}', "b 1 2"],
    ['{{join .list "-" | upper}}', "A-B"],
    ['{{(index .map "b").ip}}', "2"],
    ["a {{- .Names -}} b", "awebb"],
    ["{{/* comment */}}x", "x"],
    ['{{printf "%-5s|%03d" .Names 7}}', "web  |007"],
    ["{{.state.nothing}}", "<no value>"],
    ["{{$x := .Names}}{{$x}}", "web"],
    ["{{.list}} {{.map}}", "[a b] map[a:map[ip:1] b:map[ip:2]]"],
    ["{{and .n .Names}} {{or .n .Names}} {{not .n}} {{ne 1 2}} {{lt 1 2}}", "0 web true true true"],
    ["{{println .Names}}", "web\n"],
    ['{{"}}"}}', "}}"],
  ];
  for (const [source, text] of cases) assert.equal(new Template(source).execute(value), text, source);
});

Deno.test("Template: mistakes are named, prototypes are out of reach", () => {
  for (
    const source of [
      "{{.Names",
      "{{end}}",
      "{{if .x}}",
      "{{bogus .x}}",
      "{{.Nope}}",
      "{{.Names 1}}",
      "{{else}}",
      "{{}}",
      "{{range $x}}{{end}}",
      "{{$y}}",
      "{{(.x}}",
    ]
  ) {
    assert.throws(
      () => new Template(source).execute({ Names: "x" }),
      (e) => e instanceof NyxError && e.code === "invalid_argument",
      source,
    );
  }
  assert.throws(() => new Template("{{.constructor}}").execute({ a: 1 }), NyxError);
  assert.throws(() => new Template("{{constructor .a}}").execute({ a: 1 }), NyxError);
  assert.equal(new Template('{{index .m "__proto__"}}').execute({ m: {} }), "<no value>");
});

const container = {
  id: "0123456789abcdef".repeat(4),
  short_id: "0123456789ab",
  name: "web",
  image: "nginx:1",
  image_id: "sha256:00",
  command: "nginx -g 'daemon off;'",
  created: "2026-01-01T00:00:00Z",
  status: "running" as const,
  status_text: "Up 5 minutes (healthy)",
  health: "healthy" as const,
  ports: [
    { hostIp: "", hostPort: 8080, containerPort: 80, count: 1, protocol: "tcp" as const },
    { hostIp: "::1", hostPort: 9000, containerPort: 9000, count: 3, protocol: "udp" as const },
  ],
  labels: { a: "b", c: "" },
  networks: ["nyx"],
  mounts: ["/srv", "data"],
  restart_count: 0,
};
const now = Date.parse("2026-01-01T00:06:00Z");

Deno.test("ps table: golden", () => {
  const view = containerView(container, { noTrunc: false, nowMs: now });
  const text = renderRows([view], {
    columns: ["ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"],
    heads: { ID: "CONTAINER ID", RunningFor: "CREATED" },
    terminal: true,
  });
  assert.equal(
    text,
    `CONTAINER ID   IMAGE     COMMAND                  CREATED         STATUS                   PORTS                                                  NAMES
0123456789ab   nginx:1   "nginx -g 'daemon of…"   6 minutes ago   Up 5 minutes (healthy)   0.0.0.0:8080->80/tcp, [::1]:9000-9002->9000-9002/udp   web
`,
  );
  assert.equal(portText({ hostPort: 53, containerPort: 53, protocol: "udp" }), "0.0.0.0:53->53/udp");
});

Deno.test("renderRows: .Label gives one label in templates and is its own heading; JSON and other fields do not show it", () => {
  const views = [withLabel({ ID: "1" }, { "com.x": "a" }), withLabel({ ID: "2" }, {})];
  const options = { columns: ["ID"], heads: {}, terminal: false };
  assert.equal(renderRows(views, { ...options, format: '{{.ID}}={{.Label "com.x"}}' }), "1=a\n2=\n");
  assert.equal(
    renderRows(views, { ...options, format: 'table {{.ID}}\t{{.Label "com.x"}}' }),
    "ID   com.x\n1    a\n2\n",
  );
  assert.equal(
    renderRows(views, { ...options, terminal: true, format: 'table {{.ID}}\t{{.Label "com.x"}}' }),
    "ID   com.x\n1    a\n2\n",
  );
  assert.equal(renderRows(views, { ...options, format: "json" }), '{"ID":"1"}\n{"ID":"2"}\n');
  assert.equal(renderRows(views, { ...options, format: '{{.Label "constructor"}}' }), "\n\n");
});

Deno.test("renderRows: json lines, templates, table templates; hostile names are escaped on a terminal", () => {
  const views = [{ ID: "1", Names: "a" }, { ID: "22", Names: "b\u001b[2J" }];
  const options = { columns: ["ID"], heads: {}, terminal: true };
  assert.equal(
    renderRows(views, { ...options, format: "json" }),
    '{"ID":"1","Names":"a"}\n{"ID":"22","Names":"b\\u001b[2J"}\n',
  );
  assert.equal(renderRows(views, { ...options, format: "{{.ID}}\\t{{.Names}}" }), "1\ta\n22\tb\\x1b[2J\n");
  assert.equal(renderRows(views, { ...options, format: "{{.Names}}", terminal: false }), "a\nb\u001b[2J\n");
  assert.equal(
    renderRows(views, { ...options, format: "table {{.ID}}\\t{{.Names}}" }),
    "ID   NAMES\n1    a\n22   b\\x1b[2J\n",
  );
  assert.equal(renderRows([], { ...options, format: "table {{.ID}}" }), "ID\n");
  assert.throws(
    () => renderRows(views, { ...options, format: "{{.Nmae}}" }),
    /there is no field ".Nmae"; there are .ID .Names/,
  );
  assert.equal(renderObjects([{ a: 1 }], "json", true), '{"a":1}\n');
  assert.equal(renderObjects([{ a: 1 }], undefined, true), '[\n    {\n        "a": 1\n    }\n]\n');
});

Deno.test("imageViews: familiar names, one row a reference, <none> for the untagged", () => {
  assert.deepEqual(familiarName("docker.io/library/busybox:1"), { repository: "busybox", tag: "1", digest: "<none>" });
  assert.equal(familiarName("localhost:5000/a/b:2").repository, "localhost:5000/a/b");
  const image = {
    id: `sha256:${"ab".repeat(32)}`,
    refs: ["docker.io/library/busybox:1", "docker.io/me/x:2"],
    digests: [],
    size: 4_261_502,
    containers: 0,
    platform: "linux/amd64",
    labels: {},
  };
  const rows = imageViews(image, { noTrunc: false, nowMs: now }).map((
    { Repository, Tag, ID, Size },
  ) => [Repository, Tag, ID, Size]);
  assert.deepEqual(rows, [["busybox", "1", "abababababab", "4.26MB"], ["me/x", "2", "abababababab", "4.26MB"]]);
  assert.equal(imageViews({ ...image, refs: [] }, { noTrunc: false, nowMs: now })[0]?.Repository, "<none>");
});

Deno.test("statsView: CPU from two samples, the host's memory where there is no limit", () => {
  const sample = (atMs: number, cpuNs: number) => ({
    atMs,
    values: { id: "a".repeat(64), name: "web", cpuNs, memoryBytes: 52428800, memoryLimitBytes: 9e18, pids: 3 },
  });
  const view = statsView(sample(1000, 1_500_000_000), sample(0, 0), 1073741824, false);
  assert.deepEqual([view.CPUPerc, view.MemUsage, view.MemPerc, view.PIDs, view.ID], [
    "150.00%",
    "50MiB / 1GiB",
    "4.88%",
    "3",
    "aaaaaaaaaaaa",
  ]);
  assert.equal(statsView(sample(0, 0), undefined, 1, false).CPUPerc, "--");
});

Deno.test("SpeedMeter: bytes per second of the last seconds, sinking when nothing comes", () => {
  const meter = new SpeedMeter();
  assert.equal(meter.rate(0), 0);
  for (let at = 0; at <= 10_000; at += 100) meter.add(at, at * 1000);
  assert.equal(Math.round(meter.rate(10_000)), 1_000_000);
  assert.ok(meter.rate(20_000) < 300_000);
});

const digest = (n: number) => `sha256:${String(n).repeat(64).slice(0, 64)}`;

Deno.test("renderPull: golden picture of a pull in the middle, with a fake clock", () => {
  const state = new PullState();
  state.apply({ phase: "begin", ref: "docker.io/library/x:latest" }, 0);
  state.apply({ phase: "progress", digest: digest(1), index: 0, count: 4, size: 10_000_000, current: 0 }, 0);
  state.apply({ phase: "progress", digest: digest(1), index: 0, count: 4, size: 10_000_000, current: 5_000_000 }, 1000);
  state.apply({ phase: "layer", digest: digest(2), index: 1, count: 4, size: 3_000_000, cached: true }, 1000);
  state.apply({ phase: "layer", digest: digest(3), index: 2, count: 4, size: 2_000_000, cached: false }, 1000);
  state.apply({ phase: "progress", digest: digest(4), index: 3, count: 4, size: 1000, current: 1000 }, 1000);
  assert.deepEqual(renderPull(state, 1000, 79, 24), [
    "111111111111 [===============>               ]        5MB/10MB     5MB/s  00:01",
    "222222222222 already here",
    "333333333333 done 2MB",
    "444444444444 unpacking 1kB",
    "2/4 layers   [==================>            ]        7MB/12MB     7MB/s  00:01",
  ]);
  for (const width of [20, 40, 79, 200]) {
    for (const line of renderPull(state, 1000, width, 24)) assert.ok(line.length <= width, `${width}: ${line}`);
  }
  assert.equal(renderPull(state, 1000, 79, 3).length, 3);
  assert.match(renderPull(state, 1000, 79, 2)[0] ?? "", /^111111111111 \[/);
});

Deno.test("PullState: a finished pull is finished although a layer occurs twice", () => {
  const state = new PullState();
  state.apply({ phase: "layer", digest: digest(1), index: 0, count: 2, size: 1 }, 0);
  assert.equal(state.finished, 1);
  state.apply({ phase: "done", ref: "x" }, 1);
  assert.equal(state.finished, 2);
});

Deno.test("bar: never wider or narrower than asked", () => {
  assert.deepEqual([bar(0, 12), bar(0.5, 12), bar(1, 12), bar(7, 12), bar(-1, 4)], [
    "[>         ]",
    "[=====>    ]",
    "[==========]",
    "[==========]",
    "[> ]",
  ]);
});

Deno.test("safeJson, renderObjects: a label with C1 codes or marks that reorder text cannot act on a terminal, and reads back the same", () => {
  const hostile = { label: "\u009b2J\u009d0;pwned\u0007\u202etxt\u2028\u001b[31m", "\u202ekey": 1 };
  for (const text of [safeJson(hostile), safeJson(hostile, 2), renderObjects([hostile], undefined, true)]) {
    // deno-lint-ignore no-control-regex
    assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/);
    assert.deepEqual([JSON.parse(text)].flat(), [hostile]);
  }
});
