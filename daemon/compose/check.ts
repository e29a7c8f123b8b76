/** Consistency of a model: references that lead nowhere, contradictions, circles. All are found at once. */

import type { ComposeFileSource, ComposeModel, ComposeService } from "../spec/compose.ts";
import { own, sortedKeys } from "./dictionary.ts";
import type { Diagnostics, Finding } from "./diagnostics.ts";
import { findCircles } from "./graph.ts";
import { locate, type ModelPath, pathText } from "./locate.ts";
import type { MapNode } from "./node.ts";
import { serviceOfMode, serviceOfVolumesFrom, type WrittenModel } from "./normalise.ts";

type Report = (path: ModelPath, finding: Omit<Finding, "path">) => void;

class Checker {
  readonly #model: ComposeModel;
  readonly #written: WrittenModel;
  readonly #diagnostics: Diagnostics;
  readonly error: Report;
  readonly warn: Report;
  /** For what Docker Compose refuses too, and what a fragment of a project lacks. */
  readonly block: Report;

  constructor(model: ComposeModel, written: WrittenModel, tree: MapNode, diagnostics: Diagnostics) {
    this.#model = model;
    this.#written = written;
    this.#diagnostics = diagnostics;
    this.error = (path, finding) => diagnostics.error(locate(tree, path), { ...finding, path: pathText(path) });
    this.warn = (path, finding) => diagnostics.warn(locate(tree, path), { ...finding, path: pathText(path) });
    this.block = (path, finding) => this.warn(path, { ...finding, blocks: true });
  }

  run(): void {
    const names = sortedKeys(this.#model.services);
    if (names.length === 0) {
      this.block(["services"], {
        code: "no-services",
        message: "no services are defined",
        fix: this.#looksOld()
          ? "this is the format of before 2016: write services: above, and indent all of it"
          : "add services: with at least one service",
      });
    }
    for (const name of names) {
      const service = own(this.#model.services, name);
      if (service !== undefined) this.#service(name, service);
    }
    this.#containerNames(names);
    this.#circle();
    for (const [kind, section] of [["configs", this.#model.configs], ["secrets", this.#model.secrets]] as const) {
      for (const name of sortedKeys(section)) this.#fileSource(kind, name, own(section, name));
    }
    this.#externals();
  }

  #service(name: string, service: ComposeService): void {
    const at = (...rest: (string | number)[]): ModelPath => ["services", name, ...rest];
    if (service.image === undefined && service.build === undefined && service.provider === undefined) {
      this.block(at(), {
        code: "no-image",
        message: `service "${name}" has neither an image nor a build`,
        fix: "add image: or build:",
      });
    }
    if (service.build?.dockerfile !== undefined && service.build.dockerfile_inline !== undefined) {
      this.error(at("build", "dockerfile_inline"), {
        code: "conflict",
        message: "dockerfile and dockerfile_inline exclude each other",
        fix: "remove one of them",
      });
    }
    if (service.network_mode !== undefined && service.networks !== undefined) {
      this.error(at("network_mode"), {
        code: "conflict",
        message: "network_mode and networks exclude each other",
        fix: "remove one of them",
      });
    }
    this.#references(name, service, at);
    this.#dependencies(name, service, at);
    this.#scale(name, service, at);
    this.#limits(service, at);
    for (const [index, rule] of (service.develop?.watch ?? []).entries()) {
      if (rule.action.startsWith("sync") && rule.target === undefined) {
        this.error(at("develop", "watch", index), {
          code: "missing-key",
          message: `the action ${rule.action} needs a target`,
        });
      }
      if (rule.action === "sync+exec" && rule.exec === undefined) {
        this.error(at("develop", "watch", index), { code: "missing-key", message: "the action sync+exec needs exec" });
      }
    }
  }

  #references(name: string, service: ComposeService, at: (...rest: (string | number)[]) => ModelPath): void {
    const missing = (
      kind: "networks" | "volumes" | "configs" | "secrets" | "models",
      other: string,
      path: ModelPath,
    ) => {
      if (Object.hasOwn(this.#written[kind] ?? {}, other) || (kind === "networks" && other === "default")) return;
      const one = kind.slice(0, -1);
      const made = (kind === "networks" || kind === "volumes") && Object.hasOwn(this.#model[kind] ?? {}, other);
      const report = made ? this.warn : this.block;
      report(path, {
        code: "undefined-reference",
        message: `service "${name}" uses the ${one} "${other}", which is not defined` +
          (made ? "; it is made as if it were" : ""),
        rule: `what services use is defined under ${kind}:`,
        fix: kind !== "volumes"
          ? `add "${other}:" under ${kind}:`
          : made
          ? `add "${other}:" under volumes:, or write ./${other} for a directory`
          : `write ./${other} for a directory`,
      });
    };
    for (const other of sortedKeys(service.networks)) missing("networks", other, at("networks", other));
    for (const [index, mount] of (service.volumes ?? []).entries()) {
      if (mount.type === "volume" && mount.source !== undefined && mount.source !== "") {
        missing("volumes", mount.source, at("volumes", index));
      }
    }
    for (const [index, one] of (service.configs ?? []).entries()) missing("configs", one.source, at("configs", index));
    for (const [index, one] of (service.secrets ?? []).entries()) missing("secrets", one.source, at("secrets", index));
    for (const [index, one] of (service.build?.secrets ?? []).entries()) {
      missing("secrets", one.source, at("build", "secrets", index));
    }
    for (const other of sortedKeys(service.models)) missing("models", other, at("models", other));
  }

  #dependencies(name: string, service: ComposeService, at: (...rest: (string | number)[]) => ModelPath): void {
    const unknown = (other: string | undefined, path: ModelPath) => {
      if (other === undefined || Object.hasOwn(this.#model.services, other)) return false;
      this.block(path, {
        code: "undefined-reference",
        message: `service "${name}" refers to the service "${other}", which is not defined`,
      });
      return true;
    };
    const reported = new Set<string>();
    const check = (other: string | undefined, path: ModelPath) => {
      if (unknown(other, path) && other !== undefined) reported.add(other);
    };
    check(serviceOfMode(service.network_mode), at("network_mode"));
    check(serviceOfMode(service.ipc), at("ipc"));
    check(serviceOfMode(service.pid), at("pid"));
    for (const [index, entry] of (service.volumes_from ?? []).entries()) {
      check(serviceOfVolumesFrom(entry), at("volumes_from", index));
    }
    for (const [index, link] of (service.links ?? []).entries()) check(link.split(":")[0], at("links", index));
    for (const other of sortedKeys(service.depends_on)) {
      const optional = own(service.depends_on, other)?.required === false;
      if (!optional && !reported.has(other)) unknown(other, at("depends_on", other));
    }
  }

  #scale(name: string, service: ComposeService, at: (...rest: (string | number)[]) => ModelPath): void {
    const replicas = service.deploy?.replicas;
    if (service.scale !== undefined && replicas !== undefined && service.scale !== replicas) {
      this.error(at("scale"), {
        code: "conflict",
        message: `scale is ${service.scale} and deploy.replicas is ${replicas}`,
        fix: "keep one of them",
      });
    }
    if (service.container_name !== undefined && (service.scale ?? replicas ?? 1) > 1) {
      this.error(at("container_name"), {
        code: "conflict",
        message: `service "${name}" asks for several containers, and for one name: ${service.container_name}`,
        fix: "remove container_name",
      });
    }
  }

  #limits(service: ComposeService, at: (...rest: (string | number)[]) => ModelPath): void {
    const limits = service.deploy?.resources?.limits;
    const reservations = service.deploy?.resources?.reservations;
    const pairs = [
      ["cpus", service.cpus, "limits.cpus", limits?.cpus],
      ["mem_limit", service.mem_limit, "limits.memory", limits?.memory],
      ["pids_limit", service.pids_limit, "limits.pids", limits?.pids],
      ["mem_reservation", service.mem_reservation, "reservations.memory", reservations?.memory],
    ] as const;
    for (const [key, value, other, limit] of pairs) {
      if (value === undefined || limit === undefined || value === limit) continue;
      this.error(at(key), {
        code: "conflict",
        message: `${key} is ${value} and deploy.resources.${other} is ${limit}`,
        fix: "keep one of them",
      });
    }
  }

  #containerNames(names: readonly string[]): void {
    const owners = new Map<string, string>();
    for (const name of names) {
      const service = own(this.#model.services, name);
      const container = service?.container_name;
      if (container === undefined) continue;
      const other = owners.get(container);
      const report = (service?.profiles ?? []).length > 0 ? this.warn : this.error;
      if (other !== undefined) {
        report(["services", name, "container_name"], {
          code: "conflict",
          message: `the container name ${container} is also that of service "${other}"`,
        });
      } else owners.set(container, name);
    }
  }

  /** Whether the top level holds services themselves, as the first format of compose files had it. */
  #looksOld(): boolean {
    return this.#diagnostics.all.some((d) => d.code === "unknown-key" && !d.path.includes("."));
  }

  #circle(): void {
    for (const circle of findCircles(this.#model)) {
      const [first = "", second = ""] = circle;
      this.error(["services", first, "depends_on", second], {
        code: "dependency-circle",
        message: `services depend on each other in a circle: ${circle.join(" → ")}`,
        rule: "dependencies form no circle; network_mode, ipc and pid with service:, links and volumes_from count too",
      });
    }
  }

  #fileSource(kind: "configs" | "secrets", name: string, source: ComposeFileSource | undefined): void {
    if (source === undefined) return;
    const given = (["file", "environment", "content"] as const).filter((key) => source[key] !== undefined);
    const one = kind.slice(0, -1);
    const choices = kind === "configs" ? "file, environment, content or external" : "file, environment or external";
    if (source.external === true && given.length > 0) {
      this.warn([kind, name, given[0] ?? ""], {
        code: "ignored",
        message: `${given.join(" and ")} mean nothing for an external ${one}`,
      });
    } else if (source.external !== true && given.length === 0 && source.driver === undefined) {
      this.error([kind, name], {
        code: "missing-key",
        message: `the ${one} "${name}" has no content`,
        fix: `add ${choices}`,
      });
    } else if (given.length > 1) {
      this.error([kind, name, given[1] ?? ""], {
        code: "conflict",
        message: `${given.join(" and ")} exclude each other`,
        fix: "keep one of them",
      });
    }
  }

  #externals(): void {
    const sections = [["networks", this.#model.networks], ["volumes", this.#model.volumes]] as const;
    for (const [kind, section] of sections) {
      for (const [name, object] of Object.entries(section ?? {})) {
        if (object.external !== true) continue;
        const others = Object.keys(object).filter((key) => key !== "external" && key !== "name");
        const [first] = others;
        if (first === undefined) continue;
        this.warn([kind, name, first], {
          code: "ignored",
          message: `${others.join(", ")} mean nothing here: the ${
            kind.slice(0, -1)
          } is external, so nyx does not make it`,
        });
      }
    }
  }
}

/** Reports everything that is inconsistent in a model. */
export function checkConsistency(
  model: ComposeModel,
  written: WrittenModel,
  tree: MapNode,
  diagnostics: Diagnostics,
): void {
  new Checker(model, written, tree, diagnostics).run();
}
