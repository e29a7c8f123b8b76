/** The command line of `buildah build` for a request. Pure. */

import type { BuildRequest } from "../spec/build.ts";
import { HEREDOC_CONTEXT } from "./heredocs.ts";
import type { BuildPaths, JobPaths } from "./place.ts";

/** What the build found out before. */
export interface Prepared {
  /** Images that buildah has, by the names that the Dockerfile uses. */
  images: ReadonlyMap<string, string>;
  /** none, host, or the path of a network namespace. */
  network: string;
  /** Resolvers inside; empty means the host's. */
  dns: readonly string[];
  /** Address that `host-gateway` stands for. */
  gateway: string;
  cgroup: string;
  /** Sockets of agents, and files of keys, by id. */
  ssh: ReadonlyMap<string, string>;
  /** Whether files stand for here-documents. */
  heredocs: boolean;
}

/** Name in buildah of an image that nyx handed over. */
export function baseName(imageId: string): string {
  return `localhost/nyx-base:${imageId.slice("sha256:".length)}`;
}

function pairs(flag: string, values: Readonly<Record<string, string>> | undefined): string[] {
  return Object.entries(values ?? {}).map(([key, value]) => `${flag}=${key}=${value}`);
}

/** Arguments of buildah, the global ones first. */
export function buildArguments(paths: BuildPaths, job: JobPaths, request: BuildRequest, prepared: Prepared): string[] {
  const { network, dns, gateway, cgroup, ssh, images } = prepared;
  const uploads = (request.contexts ?? []).filter((c) => c.image === undefined);
  const flag = (name: string, value: string | undefined) => value === undefined ? [] : [`--${name}=${value}`];
  return [
    ...paths.globalOptions(job),
    "build",
    "--isolation=oci",
    "--format=docker",
    "--layers",
    "--pull-never",
    "--identity-label=false",
    `--signature-policy=${paths.policy}`,
    `--file=${job.dockerfile}`,
    `--ignorefile=${job.ignore}`,
    `--iidfile=${job.idFile}`,
    `--cgroup-parent=${cgroup}`,
    `--network=${network}`,
    ...dns.map((address) => `--dns=${address}`),
    ...flag("target", request.target),
    ...flag("platform", request.platform),
    ...(request.no_cache === true ? ["--no-cache"] : []),
    ...(request.privileged === true ? ["--cap-add=all"] : []),
    ...(request.shm_size_bytes === undefined ? [] : [`--shm-size=${request.shm_size_bytes}`]),
    ...(request.ulimits ?? []).map((limit) => `--ulimit=${limit}`),
    ...(request.extra_hosts ?? []).map((line) => `--add-host=${hostLine(line, gateway)}`),
    ...pairs("--build-arg", request.args),
    ...pairs("--label", request.labels),
    ...(request.secrets ?? []).map(({ id }, index) => `--secret=id=${id},src=${job.secrets}/${index}`),
    ...[...ssh].map(([id, path]) => `--ssh=${id}=${path}`),
    ...uploads.map(({ name }, index) => `--build-context=${name}=${job.upload}/${index + 1}`),
    ...(prepared.heredocs ? [`--build-context=${HEREDOC_CONTEXT}=${job.heredocs}`] : []),
    ...[...images].map(([name, id]) => `--build-context=${name}=container-image://${baseName(id)}`),
    `${job.upload}/0`,
  ];
}

function hostLine(line: string, gateway: string): string {
  const at = line.search(/[:=]/);
  const address = line.slice(at + 1).replace(/^\[(.*)\]$/, "$1");
  return `${line.slice(0, at)}:${address === "host-gateway" ? gateway : address}`;
}
