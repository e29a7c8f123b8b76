/** Images as lists show them: Docker's field names, one row a reference. */

import type { ImageSummary } from "../../mod.ts";
import { formatSize } from "../../daemon/spec/parse/size.ts";
import { parseReference } from "../../daemon/spec/reference.ts";
import { labelsText } from "./container_view.ts";
import type { View } from "./rows.ts";
import { timeAgo } from "./time.ts";

/** Headings that are not just the field's name. */
export const IMAGE_HEADS: Readonly<Record<string, string>> = {
  ID: "IMAGE ID",
  Repository: "REPOSITORY",
  Tag: "TAG",
  Digest: "DIGEST",
  CreatedSince: "CREATED",
  CreatedAt: "CREATED AT",
  Size: "SIZE",
  Containers: "CONTAINERS",
  Platform: "PLATFORM",
  Labels: "LABELS",
};

/** Repository and tag as people write them: `docker.io/library/busybox:1` is busybox, 1. */
export function familiarName(ref: string): { repository: string; tag: string; digest: string } {
  try {
    const { domain, path, tag, digest } = parseReference(ref);
    const short = domain === "docker.io" ? path.replace(/^library\//, "") : `${domain}/${path}`;
    return { repository: short, tag: tag ?? "<none>", digest: digest ?? "<none>" };
  } catch {
    return { repository: ref, tag: "<none>", digest: "<none>" };
  }
}

/** Twelve digits of an image's id, or all of it. */
export function imageId(id: string, noTrunc: boolean): string {
  return noTrunc ? id : id.slice(id.indexOf(":") + 1).slice(0, 12);
}

/** Rows of one image: one for each reference, or a single one with `<none>`. */
export function imageViews(image: ImageSummary, options: { noTrunc: boolean; nowMs: number }): View[] {
  const names = image.refs.length > 0
    ? image.refs.map(familiarName)
    : [{ repository: "<none>", tag: "<none>", digest: "<none>" }];
  return names.map(({ repository, tag, digest }) => ({
    ID: imageId(image.id, options.noTrunc),
    Repository: repository,
    Tag: tag,
    Digest: digest === "<none>" ? image.digests[0]?.split("@").at(-1) ?? digest : digest,
    CreatedSince: timeAgo(image.created, options.nowMs),
    CreatedAt: image.created ?? "N/A",
    Size: formatSize(image.size, 3),
    Containers: String(image.containers),
    Platform: image.platform,
    Labels: labelsText(image.labels),
  }));
}
