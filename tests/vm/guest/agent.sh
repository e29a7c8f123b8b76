#!/bin/sh
# Runs what the host sends over a virtio serial port. Request, one line: ID SECONDS BASE64-OF-SCRIPT. Answer, one line: ID CODE
# BASE64-OF-OUTPUT. Before the first request it sets up the guest's network, unless it is told `without-network`.
mkdir -p /run/vm
network() {
  modprobe virtio_net
  modprobe virtio_console
  ip link set lo up
  for _ in 1 2 3 4 5 6 7 8 9 10; do
    [ -e /sys/class/net/eth0 ] && break
    sleep 0.1
  done
  # These addresses are fixed by QEMU's user mode networking.
  if [ -e /sys/class/net/eth0 ]; then
    ip link set eth0 up
    ip addr add 10.0.2.15/24 dev eth0
    ip route add default via 10.0.2.2
  fi
  # The wire to a second guest.
  if [ -e /sys/class/net/eth1 ]; then
    ip link set eth1 up
    ip addr add 192.0.2.1/24 dev eth1
    [ ! -e /proc/sys/net/ipv6 ] || ip addr add 2001:db8::1/64 dev eth1 nodad
  fi
  [ -w /etc ] && echo "nameserver 10.0.2.3" >/etc/resolv.conf
}
[ "$1" = without-network ] || network
for port in /sys/class/virtio-ports/*; do
  [ "$(cat "$port/name")" = nyx.agent ] && device=/dev/${port##*/}
done
exec 3<>"$device" || exit 1
echo "ready 0 $(base64 -w0 </proc/sys/kernel/random/boot_id)" >&3
while read -r id seconds script <&3; do
  echo "$script" | base64 -d >"/run/vm/script.$id"
  timeout -k 5 "$seconds" sh "/run/vm/script.$id" </dev/null >"/run/vm/output.$id" 2>&1 3>&-
  code=$?
  { printf '%s %s ' "$id" "$code"; base64 -w0 <"/run/vm/output.$id"; echo; } >&3
  rm -f "/run/vm/script.$id" "/run/vm/output.$id"
done
