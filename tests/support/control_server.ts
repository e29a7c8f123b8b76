/** A Control API on a socket of its own, with fake services, for one test. */

import { NyxClient } from "../../daemon/client/client.ts";
import { type ControlServer, serveControl } from "../../daemon/control/server.ts";
import { fakeServices, type RecordedCall, type ServiceParts } from "./fake_services.ts";

/** What a test gets. */
export interface ControlFixture {
  /** The server. */
  server: ControlServer;
  /** A client of it. */
  client: NyxClient;
  /** Calls to services so far. */
  calls: RecordedCall[];
  /** Lines of the daemon's log so far. */
  log: { level: string; message: string; fields: Record<string, unknown> }[];
  /** Its socket. */
  path: string;
}

/** Runs `test` with a server, and takes it down whatever happens. */
export async function withControl(
  parts: ServiceParts,
  test: (fixture: ControlFixture) => Promise<void>,
): Promise<void> {
  const dir = Deno.makeTempDirSync({ prefix: "nyx-control-" });
  const path = `${dir}/nyxd.sock`;
  const { services, calls } = fakeServices(parts);
  const log: ControlFixture["log"] = [];
  const at = (level: string) => (message: string, fields: Record<string, unknown> = {}) => {
    log.push({ level, message, fields });
  };
  const logger = { error: at("error"), warn: at("warn"), debug: at("debug") };
  const server = await serveControl({ socketPath: path, services, log: logger });
  const client = new NyxClient({ socketPath: path });
  try {
    await test({ server, client, calls, log, path });
  } finally {
    client.close();
    await server.close({ graceMs: 200 });
    Deno.removeSync(dir, { recursive: true });
  }
}

/** One raw exchange: sends `text`, reads until the peer closes or `ms` passed. For what a well-behaved client never sends. */
export async function rawExchange(path: string, text: string | Uint8Array, ms = 300): Promise<string> {
  const conn = await Deno.connect({ transport: "unix", path });
  const bytes = typeof text === "string" ? new TextEncoder().encode(text) : text;
  let out = "";
  const timer = setTimeout(() => conn.close(), ms);
  try {
    const sending = (async () => {
      for (let at = 0; at < bytes.byteLength;) at += await conn.write(bytes.subarray(at));
    })().catch(() => {});
    const buffer = new Uint8Array(65536);
    const decoder = new TextDecoder();
    while (true) {
      const count = await conn.read(buffer);
      if (count === null) break;
      out += decoder.decode(buffer.subarray(0, count), { stream: true });
    }
    await sending;
  } catch {
    // The timer closed the connection, or the peer reset it: what was read so far counts.
  } finally {
    clearTimeout(timer);
    try {
      conn.close();
    } catch {
      // Closed by the timer.
    }
  }
  return out;
}
