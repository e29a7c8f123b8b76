/** Health probes over the network, made from inside a container's namespace. */

import { NyxError, toErrorData } from "../../daemon/spec/errors.ts";
import type { NetworkStage } from "../protocol.ts";
import { NetnsConnection, Patience, type Target } from "./connection.ts";
import { grpcHealth } from "./grpc_health.ts";
import type { NetnsKernel } from "./pool.ts";

/** Request of the `probe` operation. */
export type ProbeRequest = NetworkStage["ops"]["probe"]["request"];
/** Its result. */
export type ProbeOutcome = NetworkStage["ops"]["probe"]["result"];

const MAX_HEAD = 64 * 1024;
/** A status line and some headers: what is read at once. */
const HEAD_BYTES = 1024;
const text = new TextEncoder();
const latin1 = new TextDecoder("latin1");

/** Where to connect, and what to ask for. */
type ParsedTarget = Target & { path: string; authority: string };

/** Targets read before: the same few are asked every second. */
const targets = new Map<string, ParsedTarget>();
const MAX_TARGETS = 256;

function targetOf(type: ProbeRequest["type"], written: string): ParsedTarget {
  const key = `${type} ${written}`;
  const known = targets.get(key);
  if (known !== undefined) return known;
  const target = parseTarget(type, written);
  if (targets.size >= MAX_TARGETS) targets.clear();
  targets.set(key, target);
  return target;
}

/** `host:port`, `[v6]:port`, or an http URL, as where to connect and what to ask for. */
export function parseTarget(type: ProbeRequest["type"], written: string): ParsedTarget {
  const url = URL.parse(type === "http" ? written : `http://${written}`);
  if (url === null) {
    throw new NyxError("invalid_argument", `The target ${JSON.stringify(written)} is no URL or host:port`);
  }
  if (url.protocol !== "http:") {
    throw new NyxError("invalid_argument", `A probe of ${url.protocol}// is not possible; probe by a command instead`);
  }
  const port = url.port === "" ? 80 : Number(url.port);
  if (type !== "http" && url.port === "" && !written.endsWith(":80")) {
    throw new NyxError("invalid_argument", `The target ${JSON.stringify(written)} has no port; write host:port`);
  }
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  return { host, port, path: `${url.pathname}${url.search}`, authority: url.host };
}

async function httpStatus(connection: NetnsConnection, path: string, authority: string): Promise<string> {
  await connection.write(text.encode(
    `GET ${path} HTTP/1.1\r\nHost: ${authority}\r\nUser-Agent: nyx-health\r\nAccept: */*\r\nConnection: close\r\n\r\n`,
  ));
  let head = "";
  while (!head.includes("\n")) {
    const bytes = await connection.read(HEAD_BYTES);
    if (bytes.length === 0) throw new NyxError("unavailable", "The server closed the connection before it answered");
    head += latin1.decode(bytes);
    if (head.length > MAX_HEAD) throw new NyxError("unavailable", "The server's answer is no HTTP");
  }
  const line = head.slice(0, head.indexOf("\n")).trim();
  if (!/^HTTP\/[0-9.]+ [0-9]{3}/.test(line)) throw new NyxError("unavailable", "The server's answer is no HTTP");
  return line;
}

async function attempt(kernel: NetnsKernel, request: ProbeRequest, patience: Patience): Promise<ProbeOutcome> {
  const { type, netnsPath } = request;
  const target = targetOf(type, request.target);
  using connection = await NetnsConnection.open(kernel, netnsPath, target, patience);
  if (type === "tcp") return { exitCode: 0, output: `Connected to ${target.authority}` };
  if (type === "grpc") {
    const status = await grpcHealth(connection, target.authority);
    return { exitCode: status === "SERVING" ? 0 : 1, output: status };
  }
  const line = await httpStatus(connection, target.path, target.authority);
  const status = Number(line.split(" ")[1]);
  return { exitCode: status >= 200 && status < 400 ? 0 : 1, output: line };
}

/** One probe; an unhealthy answer, or none in time, is exit code 1 and a sentence. Rejects only when the caller cancels. */
export async function probe(kernel: NetnsKernel, request: ProbeRequest, canceled: AbortSignal): Promise<ProbeOutcome> {
  const patience = new Patience(request.timeoutMs, canceled);
  try {
    return await attempt(kernel, request, patience);
  } catch (e) {
    if (canceled.aborted) throw canceled.reason;
    if (patience.late) {
      return { exitCode: 1, output: `No answer from ${request.target} within ${request.timeoutMs} ms` };
    }
    return { exitCode: 1, output: toErrorData(e).message };
  }
}
