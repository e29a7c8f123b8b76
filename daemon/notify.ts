/** Tells systemd how the daemon fares (sd_notify(3)): READY, STOPPING, STATUS. Does nothing outside systemd. */

/**
 * Sends one notification to the socket that NOTIFY_SOCKET names.
 *
 * @param state assignments such as `READY=1`, joined by newlines
 * @param socketPath value of NOTIFY_SOCKET; a leading @ is the abstract namespace
 */
export async function notify(state: string, socketPath: string | undefined): Promise<void> {
  if (socketPath === undefined || socketPath === "") return;
  const path = socketPath.startsWith("@") ? `\0${socketPath.slice(1)}` : socketPath;
  const socket = Deno.listenDatagram({
    transport: "unixpacket",
    path: `\0nyxd-notify-${Deno.pid}-${crypto.randomUUID()}`,
  });
  try {
    await socket.send(new TextEncoder().encode(state), { transport: "unixpacket", path });
  } finally {
    socket.close();
  }
}
