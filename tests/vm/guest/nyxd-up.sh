#!/bin/sh
# Starts nyxd with the given flags, as a service would, unless it runs, and comes back when it answers. Its log is /run/vm/nyxd.log: that
# is watched, because asking with the CLI would keep a slow guest busier than the daemon's start does.
log=/run/vm/nyxd.log
[ -f /run/vm/nyxd.pid ] && kill -0 "$(cat /run/vm/nyxd.pid)" 2>/dev/null && exit 0
touch "$log"
from=$(($(wc -c <"$log") + 1))
setsid nyxd --log-level=debug "$@" </dev/null >>"$log" 2>&1 &
pid=$!
echo "$pid" >/run/vm/nyxd.pid
while kill -0 "$pid" 2>/dev/null; do
  tail -c "+$from" "$log" | grep -q '"nyxd is ready"' && exit 0
  sleep 0.2
done
echo "nyxd ended:"
tail -c "+$from" "$log" | tail -n 5
exit 1
