#!/bin/sh
# Starts nyxd with the given flags, as a service would, and comes back when it answers. Its log is /run/vm/nyxd.log.
nyx ping >/dev/null 2>&1 && exit 0
setsid nyxd --log-level=debug "$@" </dev/null >>/run/vm/nyxd.log 2>&1 &
pid=$!
echo "$pid" >/run/vm/nyxd.pid
while kill -0 "$pid" 2>/dev/null; do
  nyx ping >/dev/null 2>&1 && exit 0
  sleep 0.3
done
echo "nyxd ended:"
tail -5 /run/vm/nyxd.log
exit 1
