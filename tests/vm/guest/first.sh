#!/bin/busybox sh
# /init of the first root: loads the few modules that reaching a disk takes, puts the real root together, and enters it.
#   /dev/vda  Debian, read-only      /dev/vdb  nyx and the test's things, read-only      /dev/vdc  data, when there is one
# Kernel command line: nyx.init=PATH (default /usr/lib/nyx-vm/boot), nyx.keep=1 (changes to the root are kept on the data disk).
/bin/busybox mkdir -p /proc /sys /dev /lower/base /lower/app /data /root
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module" || echo "first: $module did not load"; done </modules/order
fail() {
  echo "first: $1"
  reboot -f
}
value() { sed -n "s/.*\\b$1=\\([^ ]*\\).*/\\1/p" /proc/cmdline; }
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  [ -b /dev/vda ] && [ -b /dev/vdb ] && break
  sleep 0.1
done
mount -t ext4 -o ro /dev/vda /lower/base || fail "no Debian disk"
mount -t ext4 -o ro /dev/vdb /lower/app || fail "no nyx disk"
if [ -b /dev/vdc ]; then
  mount -t ext4 /dev/vdc /data || fail "no data disk"
else
  mount -t tmpfs -o size=80%,mode=755 data /data
fi
mkdir -p /data/nyxd
if [ "$(value nyx.keep)" = 1 ]; then
  upper=/data/root
else
  mkdir -p /scratch
  mount -t tmpfs -o size=50% scratch /scratch
  upper=/scratch
fi
mkdir -p "$upper/upper" "$upper/work"
mount -t overlay -o "lowerdir=/lower/app:/lower/base,upperdir=$upper/upper,workdir=$upper/work" root /root || fail "no root"
mkdir -p /root/var/lib/nyxd /root/run/vm
mount --bind /data/nyxd /root/var/lib/nyxd
mount --move /dev /root/dev
umount /sys
umount /proc
init=$(mount -t proc proc /proc && value nyx.init && umount /proc)
exec switch_root /root "${init:-/usr/lib/nyx-vm/boot}"
