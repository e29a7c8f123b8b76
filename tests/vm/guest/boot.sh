#!/bin/sh
# First process of a guest without systemd: what an init does before services start, then the agent under a reaper.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/usr/lib/nyx-vm
HOME=/root
TERM=dumb
NO_COLOR=1
export PATH HOME TERM NO_COLOR
mount -t proc proc /proc
mount -t sysfs sys /sys
mkdir -p /dev/pts /dev/shm
mount -t devpts -o gid=5,mode=620,ptmxmode=666 devpts /dev/pts
mount -t tmpfs shm /dev/shm
mount -t tmpfs -o mode=755 run /run
mount -t tmpfs tmp /tmp
mount -t cgroup2 -o nsdelegate,memory_recursiveprot cgroup /sys/fs/cgroup
hostname nyx-vm
exec /usr/bin/catatonit -- /usr/lib/nyx-vm/agent
