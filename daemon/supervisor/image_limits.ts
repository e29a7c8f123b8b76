/** What an image, which anybody may have made, cannot have from nyxd without its user asking for it; and what nobody can ask of the runtime. */

import { invalid, NyxError } from "../spec/errors.ts";

/** Most anonymous volumes that an image gets, each a directory and a mount. */
const MAX_IMAGE_VOLUMES = 256;
/** Most ports that `-P` publishes. */
const MAX_PUBLISHED = 4096;
/** Least time between probes that an image sets: each is a program that nyxd starts outside the container's limits. */
export const MIN_IMAGE_INTERVAL_MS = 1000;

function isReserved([top, below]: readonly string[]): boolean {
  return top === "proc" || (top === "dev" && below !== "shm");
}

/**
 * Checks the volumes that an image declares and no mount of the user covers.
 *
 * One over /proc would hide from crun, and from the container's own programs, what the kernel says there: confinement by
 * AppArmor or SELinux is set by writing below /proc, and would be written to a plain file. One over /dev would be filled from the
 * image, with links in place of the devices that crun opens and mounts on (CVE-2026-88264, CVE-2026-88265).
 *
 * @throws NyxError failed_precondition
 */
export function checkImageVolumes(targets: readonly string[]): void {
  const reserved = targets.find((target) => isReserved(target.split("/").filter((p) => p !== "" && p !== ".")));
  if (reserved !== undefined) {
    throw new NyxError(
      "failed_precondition",
      `Could not use the image: it declares a volume at ${JSON.stringify(reserved)}, over the kernel's own files; ` +
        "mount something there yourself if that is what you want",
      { context: { field: "mounts", value: reserved } },
    );
  }
  if (targets.length <= MAX_IMAGE_VOLUMES) return;
  throw new NyxError(
    "failed_precondition",
    `Could not use the image: it declares ${targets.length} volumes, ${MAX_IMAGE_VOLUMES} are allowed`,
  );
}

/**
 * Checks how many ports `-P` would publish.
 *
 * @throws NyxError failed_precondition
 */
export function checkPublished(count: number): void {
  if (count <= MAX_PUBLISHED) return;
  throw new NyxError(
    "failed_precondition",
    `Could not publish all exposed ports: there are more than ${MAX_PUBLISHED}; publish those you need with -p`,
    { context: { field: "publishAll", value: true } },
  );
}

/**
 * Checks annotations. crun takes orders from those below `run.oci.`: to run another handler, to write files, to hand the filter of
 * system calls to a socket, to leave groups of the host in place. These are nyx's to give.
 *
 * @throws NyxError invalid_argument
 */
export function checkAnnotations(annotations: Readonly<Record<string, string>> | undefined): void {
  const order = Object.keys(annotations ?? {}).find((key) => /^(run\.oci|org\.systemd\.property)\./.test(key));
  if (order === undefined) return;
  throw invalid("annotations", order, "it would be an order to the OCI runtime, which nyx gives itself; leave it out");
}
