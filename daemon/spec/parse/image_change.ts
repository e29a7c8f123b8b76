/** Changes of an image's configuration as instructions of a Dockerfile: `nyx commit --change`. */

import { invalid } from "../errors.ts";
import type { ImageExecConfig } from "../image.ts";

const KNOWN = "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR";

/** A JSON list of texts, or undefined when it is none. */
function jsonList(text: string): string[] | undefined {
  if (!text.startsWith("[")) return undefined;
  try {
    const list: unknown = JSON.parse(text);
    return Array.isArray(list) && list.every((v) => typeof v === "string") ? list as string[] : undefined;
  } catch {
    return undefined;
  }
}

/** Words, with quotes taken off. */
function words(text: string): string[] {
  const found = text.matchAll(/(?:[^\s"']|"(?:\\.|[^"])*"|'[^']*')+/g);
  return [...found].map(([w]) =>
    w.replaceAll(/"((?:\\.|[^"])*)"|'([^']*)'/g, (_, a, b) => (a ?? "").replaceAll(/\\(.)/g, "$1") + (b ?? ""))
  );
}

function pairs(change: string, text: string): [string, string][] {
  const list = words(text);
  if (list.length >= 2 && !list[0]?.includes("=")) return [[list[0] ?? "", text.slice((list[0] ?? "").length).trim()]];
  return list.map((w) => {
    const at = w.indexOf("=");
    if (at < 1) throw invalid("change", change, "write NAME=VALUE");
    return [w.slice(0, at), w.slice(at + 1)];
  });
}

function withEnv(env: readonly string[], added: [string, string][]): string[] {
  const map = new Map(env.map((e) => [e.split("=")[0] ?? "", e]));
  for (const [name, value] of added) map.set(name, `${name}=${value}`);
  return [...map.values()];
}

function keys(names: readonly string[]): Record<string, Record<string, never>> {
  return Object.fromEntries(names.map((n) => [n, {}]));
}

function ports(change: string, text: string): string[] {
  return words(text).map((w) => {
    const match = /^(\d{1,5})(?:\/(tcp|udp|sctp))?$/.exec(w);
    if (match === null || Number(match[1]) > 65_535) throw invalid("change", change, "write EXPOSE 80 or 53/udp");
    return `${match[1]}/${match[2] ?? "tcp"}`;
  });
}

/**
 * Applies one instruction.
 *
 * @param exec configuration before
 * @param change such as `CMD ["nginx","-g","daemon off;"]` or `ENV A=1 B=2`
 * @throws NyxError invalid_argument for an instruction that is not known, or without a value
 */
export function applyChange(exec: ImageExecConfig, change: string): ImageExecConfig {
  const [, name = "", value = ""] = /^\s*([A-Za-z]+)\s*([\s\S]*?)\s*$/.exec(change) ?? [];
  if (value === "") throw invalid("change", change, `write one of ${KNOWN} and a value`);
  const shell = exec.Shell ?? ["/bin/sh", "-c"];
  switch (name.toUpperCase()) {
    case "CMD":
      return { ...exec, Cmd: jsonList(value) ?? [...shell, value] };
    case "ENTRYPOINT":
      return { ...exec, Entrypoint: jsonList(value) ?? [...shell, value] };
    case "ENV":
      return { ...exec, Env: withEnv(exec.Env ?? [], pairs(change, value)) };
    case "EXPOSE":
      return { ...exec, ExposedPorts: { ...exec.ExposedPorts, ...keys(ports(change, value)) } };
    case "LABEL":
      return { ...exec, Labels: { ...exec.Labels, ...Object.fromEntries(pairs(change, value)) } };
    case "ONBUILD":
      return { ...exec, OnBuild: [...exec.OnBuild ?? [], value] };
    case "STOPSIGNAL":
      return { ...exec, StopSignal: value };
    case "USER":
      return { ...exec, User: value };
    case "VOLUME":
      return { ...exec, Volumes: { ...exec.Volumes, ...keys(jsonList(value) ?? words(value)) } };
    case "WORKDIR":
      if (!value.startsWith("/")) throw invalid("change", change, "use an absolute directory");
      return { ...exec, WorkingDir: value };
    default:
      throw invalid("change", change, `use one of ${KNOWN}`);
  }
}
