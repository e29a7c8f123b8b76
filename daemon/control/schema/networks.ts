/** Bodies of requests and answers about networks. */

import { z } from "zod";
import type * as api from "../../spec/api.ts";
import { parseName } from "../../spec/parse/modes.ts";
import { parseHostname, parseIp, parseMac } from "../../spec/parse/network.ts";
import { fullId, status } from "./responses.ts";
import { containerRef, integer, line, parsed, textMap } from "./values.ts";

const text = z.string();
const texts = z.array(text);
const whole = z.number().int();

/** Body of POST /v1/networks/create; what names, blocks and options mean is checked where the network is made. */
export const networkBody = z.strictObject({
  name: parsed((text) => parseName(text, "network name")),
  driver: line(64).exactOptional(),
  subnets: z.array(z.strictObject({
    subnet: line(64).exactOptional(),
    gateway: line(64).exactOptional(),
    ipRange: line(64).exactOptional(),
    auxAddresses: textMap.exactOptional(),
  })).max(8).exactOptional(),
  internal: z.boolean().exactOptional(),
  ipv4: z.boolean().exactOptional(),
  ipv6: z.boolean().exactOptional(),
  labels: textMap.exactOptional(),
  options: textMap.exactOptional(),
});

/** Body of POST /v1/networks/prune. */
export const networkPruneBody = z.strictObject({
  labels: z.array(line().min(1)).max(256).default([]),
  until: z.iso.datetime({ offset: true }).exactOptional(),
});

/** Body of the connect route. */
export const networkConnectBody = z.strictObject({
  container: containerRef,
  ip: parsed((text) => parseIp(text, "ip", 4)).exactOptional(),
  ip6: parsed((text) => parseIp(text, "ip6", 6)).exactOptional(),
  mac: parsed((text) => parseMac(text)).exactOptional(),
  aliases: z.array(parsed((text) => parseHostname(text))).max(256).exactOptional(),
  gatewayPriority: integer(-1_000_000, 1_000_000).exactOptional(),
});

/** Body of the disconnect route. */
export const networkDisconnectBody = z.strictObject({ container: containerRef });

/** Body of POST /v1/networks/explain. */
export const explainBody = z.strictObject({
  target: line(256).min(1, "name a port such as 8080/tcp, or a container"),
});

/** A network. */
export const networkInfo = z.strictObject({
  id: fullId,
  name: text,
  driver: text,
  created: text,
  default: z.boolean(),
  bridge: text,
  parent: text.exactOptional(),
  mode: text.exactOptional(),
  subnets: z.array(
    z.strictObject({
      subnet: text,
      gateway: text,
      ipRange: text.exactOptional(),
      auxAddresses: z.record(text, text).exactOptional(),
    }) satisfies z.ZodType<
      api.NetworkSubnet
    >,
  ),
  internal: z.boolean(),
  ipv4: z.boolean(),
  ipv6: z.boolean(),
  mtu: whole.exactOptional(),
  labels: z.record(text, text),
  options: z.record(text, text),
  containers: z.array(
    z.strictObject({
      id: fullId,
      name: text,
      status,
      ip: text.exactOptional(),
      prefix: whole.exactOptional(),
      ip6: text.exactOptional(),
      mac: text.exactOptional(),
    }) satisfies z.ZodType<api.NetworkMember>,
  ),
  problem: text.exactOptional(),
  cni: (z.strictObject({ file: text, version: text, plugins: texts }) satisfies z.ZodType<api.NetworkFile>)
    .exactOptional(),
}).meta({ id: "Network" }) satisfies z.ZodType<api.NetworkInfo>;

/** POST /v1/networks/prune. */
export const networkPruneResult = z.strictObject({ ok: z.literal(true), removed: texts }) satisfies z.ZodType<
  api.NetworkPruneResult
>;

/** One way of a packet. */
export const explainPath = z.strictObject({
  subject: text,
  open: z.boolean(),
  steps: z.array(
    z.strictObject({ verdict: z.enum(["ok", "stop", "note"]), text }) satisfies z.ZodType<api.ExplainStep>,
  ),
}).meta({ id: "ExplainPath" }) satisfies z.ZodType<api.ExplainPath>;
