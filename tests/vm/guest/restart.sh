#!/bin/sh
# Restarts a guest without systemd in the way an init does: everybody is asked to end, disks are written, the machine resets.
(
  sleep 0.2
  kill -TERM $(cat /run/vm/nyxd.pid) 2>/dev/null
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    kill -0 $(cat /run/vm/nyxd.pid) 2>/dev/null || break
    sleep 0.5
  done
  sync
  busybox reboot -f
) </dev/null >/dev/null 2>&1 3>&- &
