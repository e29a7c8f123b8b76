/**
 * Program: gRPC servers that mean harm, for health probes. Each accepts connections and floods them without end; the port it listens on is
 * printed first. Argument: `ping` (acknowledgements of pings nobody sent), `data` (a message that never ends), `slow` (one byte a
 * time, for ever).
 */

const [kind = "ping"] = Deno.args;

function frame(type: number, flags: number, stream: number, length: number): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(9 + length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, length >> 8);
  bytes.set([length & 255, type, flags], 2);
  view.setUint32(5, stream);
  return bytes;
}

function flood(): Uint8Array<ArrayBuffer> {
  const one = kind === "data" ? frame(0, 0, 1, 16384) : frame(6, 1, 0, 8);
  // The length in front of the message says 4 GiB.
  if (kind === "data") one.fill(255, 10, 14);
  const many = new Uint8Array(one.length * Math.ceil(262_144 / one.length));
  for (let at = 0; at < many.length; at += one.length) many.set(one, at);
  return many;
}

const bytes = kind === "slow" ? frame(4, 1, 0, 0) : flood();
const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
console.log(listener.addr.port);
for await (const connection of listener) {
  void (async () => {
    try {
      for (let at = 0;; at = (at + 1) % bytes.length) {
        if (kind === "slow") {
          await connection.write(bytes.subarray(at, at + 1));
          await new Promise((r) => setTimeout(r, 20));
        } else await connection.write(bytes);
      }
    } catch {
      // The prober has gone.
    }
  })();
}
