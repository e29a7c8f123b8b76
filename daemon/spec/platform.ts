/**
 * Platforms of images: `os/architecture[/variant]`, the host's own, and the choice among an index's entries.
 *
 * Aliases, default variants and the order of what a platform can run follow containerd's platforms package.
 */

import { invalid } from "./errors.ts";
import type { Descriptor, Platform } from "./image.ts";

const ARCHITECTURES: Readonly<Record<string, { architecture: string; variant?: string }>> = {
  x86_64: { architecture: "amd64" },
  "x86-64": { architecture: "amd64" },
  i386: { architecture: "386" },
  i486: { architecture: "386" },
  i586: { architecture: "386" },
  i686: { architecture: "386" },
  aarch64: { architecture: "arm64" },
  armhf: { architecture: "arm", variant: "v7" },
  armel: { architecture: "arm", variant: "v6" },
  armv7l: { architecture: "arm", variant: "v7" },
  armv6l: { architecture: "arm", variant: "v6" },
  loongarch64: { architecture: "loong64" },
  powerpc64le: { architecture: "ppc64le" },
};

const OPERATING_SYSTEMS: Readonly<Record<string, string>> = { macos: "darwin", osx: "darwin" };
const COMPONENT = /^[A-Za-z0-9_.-]{1,64}$/;

/**
 * Canonical form: lower case, aliases replaced, the default variant of an architecture left out or filled in.
 *
 * @param platform as an index, a config or a user wrote it
 */
export function normalizePlatform(platform: Platform): Platform {
  const rawOs = platform.os.toLowerCase();
  const rawArchitecture = platform.architecture.toLowerCase();
  const alias = Object.hasOwn(ARCHITECTURES, rawArchitecture) ? ARCHITECTURES[rawArchitecture] : undefined;
  const architecture = alias?.architecture ?? rawArchitecture;
  const os = (Object.hasOwn(OPERATING_SYSTEMS, rawOs) ? OPERATING_SYSTEMS[rawOs] : undefined) ?? rawOs;
  const variant = normalizeVariant(architecture, (platform.variant ?? alias?.variant ?? "").toLowerCase());
  return {
    os,
    architecture,
    ...(variant === "" ? {} : { variant }),
    ...(platform["os.version"] === undefined ? {} : { "os.version": platform["os.version"] }),
  };
}

function normalizeVariant(architecture: string, variant: string): string {
  const numbered = /^[0-9]+$/.test(variant) && (architecture === "arm" || architecture === "arm64")
    ? `v${variant}`
    : variant;
  switch (architecture) {
    case "arm64":
      return numbered === "v8" ? "" : numbered;
    case "arm":
      return numbered === "" ? "v7" : numbered;
    case "amd64":
      return numbered === "v1" ? "" : numbered;
    default:
      return numbered;
  }
}

/**
 * Parses `os/architecture`, `os/architecture/variant`, or an architecture alone (then the os is linux).
 *
 * @throws NyxError invalid_argument
 */
export function parsePlatform(text: string): Platform {
  const parts = text.split("/");
  const [first = "", second, third] = parts;
  if (parts.length > 3 || !parts.every((p) => COMPONENT.test(p))) {
    throw invalid("platform", text, "write os/architecture or os/architecture/variant, such as linux/arm64/v8");
  }
  if (second === undefined) {
    if (first.toLowerCase() === "linux") {
      throw invalid("platform", text, "add the architecture, such as linux/amd64");
    }
    return normalizePlatform({ os: "linux", architecture: first });
  }
  return normalizePlatform({ os: first, architecture: second, ...(third === undefined ? {} : { variant: third }) });
}

/** Text form `os/architecture[/variant]`. */
export function formatPlatform(platform: Platform): string {
  const { os, architecture, variant } = platform;
  return variant === undefined || variant === "" ? `${os}/${architecture}` : `${os}/${architecture}/${variant}`;
}

/** Platform of the machine this runs on. */
export function hostPlatform(): Platform {
  return normalizePlatform({ os: Deno.build.os, architecture: Deno.build.arch });
}

/** What a platform can run, best first. */
function runnable(wanted: Platform): Platform[] {
  const { os, architecture, variant = "" } = normalizePlatform(wanted);
  const at = (arch: string, variants: string[]): Platform[] =>
    variants.map((v) => ({ os, architecture: arch, ...(v === "" ? {} : { variant: v }) }));
  const number = Number(/^v(\d)/.exec(variant)?.[1] ?? "0");
  switch (architecture) {
    case "amd64": {
      const lower = [];
      for (let v = number; v > 1; v--) lower.push(`v${v}`);
      return [...at("amd64", [...lower, ""]), ...at("386", [""])];
    }
    case "arm64": {
      const own = number > 8 ? at("arm64", [variant, ""]) : at("arm64", [variant]);
      return [...own, ...at("arm", ["v8", "v7", "v6", "v5"])];
    }
    case "arm": {
      const lower = [];
      for (let v = number; v >= 5; v--) lower.push(`v${v}`);
      return at("arm", lower.length > 0 ? lower : [variant]);
    }
    default:
      return at(architecture, [variant]);
  }
}

/**
 * How well a platform serves a wish.
 *
 * @returns 0 for the best, rising; undefined when it cannot run there
 */
export function platformRank(wanted: Platform, offered: Platform): number | undefined {
  const have = normalizePlatform(offered);
  const rank = runnable(wanted).findIndex((p) =>
    p.os === have.os && p.architecture === have.architecture && (p.variant ?? "") === (have.variant ?? "")
  );
  if (rank < 0) return undefined;
  if (wanted["os.version"] !== undefined && have["os.version"] !== undefined) {
    return wanted["os.version"] === have["os.version"] ? rank : undefined;
  }
  return rank;
}

/** Whether something made for `offered` runs where `wanted` runs. */
export function matchesPlatform(wanted: Platform, offered: Platform): boolean {
  return platformRank(wanted, offered) !== undefined;
}

/**
 * The best entry of an index for a platform; the earlier one of two that are equally good.
 *
 * @returns undefined when none fits; entries without a platform never do
 */
export function selectPlatform(wanted: Platform, entries: readonly Descriptor[]): Descriptor | undefined {
  let best: { rank: number; entry: Descriptor } | undefined;
  for (const entry of entries) {
    if (entry.platform === undefined) continue;
    const rank = platformRank(wanted, entry.platform);
    if (rank !== undefined && (best === undefined || rank < best.rank)) best = { rank, entry };
  }
  return best?.entry;
}

/** Platforms that an index offers, as texts without repeats; build attestations (`unknown/unknown`) are left out. */
export function offeredPlatforms(entries: readonly Descriptor[]): string[] {
  const all = entries.flatMap((e) =>
    e.platform === undefined || e.platform.os === "unknown" ? [] : [formatPlatform(e.platform)]
  );
  return [...new Set(all)];
}
