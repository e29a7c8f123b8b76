/**
 * Published vulnerabilities of crun by version, for the warning at start. What is only runc's is not here: crun's maintainers
 * say of CVE-2024-21626, CVE-2025-31133, CVE-2025-52565 and CVE-2025-52881 that it is not affected.
 */

/** One vulnerability. */
export interface CrunAdvisory {
  cve: string;
  /** First version that has it; undefined for all earlier ones. */
  since?: string;
  /** First version without it, or the last that is known to have it where no fixed one was published. */
  end: { fixedIn: string } | { lastAffected: string };
  /** What an attacker gains, and under which condition. */
  what: string;
  /** Where it is described. */
  source: string;
}

/** Oldest first. */
export const CRUN_ADVISORIES: readonly CrunAdvisory[] = [
  {
    cve: "CVE-2019-16884",
    end: { fixedIn: "0.10" },
    what: "an image can keep its AppArmor or SELinux label from being set",
    source: "crun NEWS, 0.10",
  },
  {
    cve: "CVE-2019-18837",
    end: { fixedIn: "0.10.5" },
    what: "an image's links can lead a mount out of the root",
    source: "crun NEWS, 0.10.5",
  },
  {
    cve: "CVE-2022-27650",
    end: { fixedIn: "1.4.4" },
    what: "exec leaves inheritable capabilities to the process",
    source: "crun NEWS, 1.4.4",
  },
  {
    cve: "CVE-2025-24965",
    end: { fixedIn: "1.20" },
    what: "an image can write files of the host, where annotation run.oci.handler is krun; nyx refuses that annotation",
    source: "https://github.com/containers/crun/security/advisories/GHSA-f42g-r5jj-qh4j",
  },
  {
    cve: "CVE-2026-30892",
    since: "1.19",
    end: { fixedIn: "1.27" },
    what: 'exec takes the user "1" for root; nyx names users in another way and is not affected',
    source: "https://www.cve.org/CVERecord?id=CVE-2026-30892",
  },
  {
    cve: "CVE-2026-47766",
    end: { fixedIn: "1.28" },
    what: "an image's /dev that is a link makes device nodes on the host; nyx replaces such a /dev first",
    source: "https://github.com/containers/crun/security/advisories/GHSA-7vwr-4279-7gq5",
  },
  {
    cve: "CVE-2026-88264",
    end: { lastAffected: "1.29.1" },
    what: "a link at /dev/console makes a file on the host, where nothing is mounted on /dev; nyx always mounts there",
    source: "https://github.com/containers/crun/pull/2249",
  },
  {
    cve: "CVE-2026-88265",
    end: { lastAffected: "1.29.1" },
    what: "a link at /dev/null opens a file of the host, where nothing is mounted on /dev; nyx always mounts there",
    source: "https://github.com/containers/crun/pull/2249",
  },
];

/** Numbers of a version: `1.14.4.2-ab12` is 1, 14, 4, 2; undefined when it begins with none. */
function numbersOf(version: string): number[] | undefined {
  const match = /^v?(\d+(?:\.\d+)*)/.exec(version);
  return match?.[1]?.split(".").map(Number);
}

function compareVersions(a: readonly number[], b: readonly number[]): number {
  for (let i = 0; i < Math.max(a.length, b.length); i++) {
    const difference = (a[i] ?? 0) - (b[i] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Those that a version has; none for a version that is no number. */
export function advisoriesOf(version: string): CrunAdvisory[] {
  const own = numbersOf(version);
  if (own === undefined) return [];
  const against = (other: string) => compareVersions(own, numbersOf(other) ?? []);
  return CRUN_ADVISORIES.filter(({ since, end }) =>
    (since === undefined || against(since) >= 0) &&
    ("fixedIn" in end ? against(end.fixedIn) < 0 : against(end.lastAffected) <= 0)
  );
}

/** The sentence for the log at start and for `nyx info`; nothing when none is known. */
export function crunWarnings(version: string): string[] {
  const found = advisoriesOf(version);
  if (found.length === 0) return [];
  const items = found.map(({ cve, end, what }) => {
    const fix = "fixedIn" in end ? `fixed in ${end.fixedIn}` : `known up to ${end.lastAffected}`;
    return `${cve} (${what}; ${fix})`;
  });
  return [
    `crun ${version} has known vulnerabilities, unless its distributor patched them; update crun where you can: ${
      items.join(", ")
    }`,
  ];
}
