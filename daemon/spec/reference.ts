/**
 * Image references: `[domain/]path[:tag][@digest]`.
 *
 * Grammar and limits of the distribution project's reference package; defaults as Docker's: `busybox` means
 * `docker.io/library/busybox:latest`. Nothing the grammar refuses is accepted, so each part is safe as a path component.
 */

import { tryParseDigest } from "./digest.ts";
import { invalid, type NyxError } from "./errors.ts";

/** Domain that a reference without one means. */
export const DEFAULT_DOMAIN = "docker.io";
/** Older name of {@linkcode DEFAULT_DOMAIN}. */
const LEGACY_DOMAIN = "index.docker.io";
const DEFAULT_TAG = "latest";
const OFFICIAL_PREFIX = "library/";

/** Most characters of a repository's path. */
export const MAX_PATH_LENGTH = 255;
/** Most characters of a domain: a DNS name, brackets and port. */
const MAX_DOMAIN_LENGTH = 262;
/** Most characters looked at: domain, path, tag and the longest digest. */
const MAX_REFERENCE_LENGTH = 1024;

/** A normalised reference. It has a tag, a digest, or both. */
export interface Reference {
  /** Registry as written, with its port: `docker.io`, `localhost:5000`, `[::1]:5000`. */
  domain: string;
  /** Repository below the registry: `library/busybox`. */
  path: string;
  tag?: string;
  /** With its algorithm. */
  digest?: string;
}

const LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
const DOMAIN = new RegExp(`^(?:${LABEL}(?:\\.${LABEL})*|\\[[a-fA-F0-9:]+\\])(?::([0-9]+))?$`);
const PATH_COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^\w[\w.-]{0,127}$/;
const IDENTIFIER = /^[a-f0-9]{64}$/;

function refuse(text: string, fix: string): NyxError {
  return invalid("image reference", text, fix);
}

/** Whether the part before the first slash names a registry rather than the first component of a path. */
function namesRegistry(first: string): boolean {
  return first.includes(".") || first.includes(":") || first === "localhost" || first !== first.toLowerCase();
}

function splitDomain(name: string): { domain: string; path: string } {
  const slash = name.indexOf("/");
  let domain = DEFAULT_DOMAIN;
  let path = name;
  if (slash >= 0 && namesRegistry(name.slice(0, slash))) {
    domain = name.slice(0, slash);
    path = name.slice(slash + 1);
    if (domain === LEGACY_DOMAIN) domain = DEFAULT_DOMAIN;
  }
  if (domain === DEFAULT_DOMAIN && !path.includes("/")) path = OFFICIAL_PREFIX + path;
  return { domain, path };
}

function checkDomain(domain: string, text: string): void {
  const match = DOMAIN.exec(domain);
  if (match === null || domain.length > MAX_DOMAIN_LENGTH) {
    throw refuse(text, `${JSON.stringify(domain)} is not a registry host with an optional port`);
  }
  if (domain.startsWith("[") && !URL.canParse(`http://${domain}`)) {
    throw refuse(text, `${JSON.stringify(domain)} is not an IPv6 address in brackets`);
  }
  if (match[1] !== undefined && (match[1].length > 5 || Number(match[1]) > 65535 || Number(match[1]) === 0)) {
    throw refuse(text, `port ${match[1]} is not between 1 and 65535`);
  }
}

function checkPath(path: string, text: string): void {
  if (path !== path.toLowerCase()) throw refuse(text, "the repository name must be in lower case");
  if (path.length > MAX_PATH_LENGTH) {
    throw refuse(text, `the repository name has ${path.length} characters, ${MAX_PATH_LENGTH} are allowed`);
  }
  for (const component of path.split("/")) {
    if (!PATH_COMPONENT.test(component)) {
      throw refuse(
        text,
        `repository component ${JSON.stringify(component)} must be lower-case letters and digits with single ".", ` +
          `"_", "__" or dashes between them`,
      );
    }
  }
}

/**
 * Parses what a user wrote and fills in Docker's defaults.
 *
 * @param text such as `busybox`, `ghcr.io/org/app:1.2`, `localhost:5000/app@sha256:…`
 * @returns the reference with domain, and with the tag `latest` when it had neither tag nor digest
 * @throws NyxError invalid_argument that says which part is wrong
 */
export function parseReference(text: string): Reference {
  if (text === "") throw refuse(text, "give a name such as busybox or ghcr.io/org/app:1.2");
  if (text.length > MAX_REFERENCE_LENGTH) throw refuse(text, `more than ${MAX_REFERENCE_LENGTH} characters`);
  if (IDENTIFIER.test(text)) throw refuse(text, "64 hexadecimal digits are an image id, not a name; use name:tag");
  let name = text;
  let digest: string | undefined;
  const at = name.indexOf("@");
  if (at >= 0) {
    digest = name.slice(at + 1);
    name = name.slice(0, at);
    if (tryParseDigest(digest) === undefined) {
      throw refuse(text, "after @ write sha256: and 64, or sha512: and 128, lower-case hexadecimal digits");
    }
  }
  let tag: string | undefined;
  const colon = name.lastIndexOf(":");
  if (colon > name.lastIndexOf("/")) {
    tag = name.slice(colon + 1);
    name = name.slice(0, colon);
    if (!TAG.test(tag)) {
      throw refuse(text, "a tag is 1 to 128 letters, digits, _, . and -, and does not begin with . or -");
    }
  }
  const { domain, path } = splitDomain(name);
  checkDomain(domain, text);
  checkPath(path, text);
  if (tag === undefined && digest === undefined) tag = DEFAULT_TAG;
  return { domain, path, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

/** {@linkcode parseReference} that gives undefined instead of throwing. */
export function tryParseReference(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch {
    return undefined;
  }
}

/** Canonical text: domain, path, tag, digest. Parsing it gives the same reference. */
export function formatReference(ref: Reference): string {
  return `${ref.domain}/${ref.path}${suffix(ref)}`;
}

/** Canonical text of the repository alone, without tag and digest. */
export function formatRepository(ref: Reference): string {
  return `${ref.domain}/${ref.path}`;
}

/** Shortest text that means the same: `docker.io/library/busybox:latest` becomes `busybox:latest`. */
export function familiarReference(ref: Reference): string {
  return familiarRepository(ref) + suffix(ref);
}

/** Shortest text of the repository alone: `busybox`, `ghcr.io/org/app`. */
export function familiarRepository(ref: Reference): string {
  if (ref.domain !== DEFAULT_DOMAIN) return formatRepository(ref);
  const rest = ref.path.startsWith(OFFICIAL_PREFIX) ? ref.path.slice(OFFICIAL_PREFIX.length) : ref.path;
  const short = rest.includes("/") ? ref.path : rest;
  const again = splitDomain(short);
  const same = again.domain === ref.domain && again.path === ref.path && !IDENTIFIER.test(short);
  return same ? short : formatRepository(ref);
}

function suffix(ref: Reference): string {
  return (ref.tag === undefined ? "" : `:${ref.tag}`) + (ref.digest === undefined ? "" : `@${ref.digest}`);
}
