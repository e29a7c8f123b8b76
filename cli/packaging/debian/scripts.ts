/**
 * What dpkg runs around installation, upgrade and removal (Debian policy, chapter 6).
 *
 * An upgrade restarts nyxd and stops no container. Removal stops containers and the daemon, and keeps all data. Purge deletes what can be
 * had again or was thrown away by the removal already (images, layers, containers, logs), and keeps named volumes, which are somebody's
 * data, with a word on where they are. The unit is only touched where systemd runs; elsewhere, nothing is started.
 */

const BASE = "/var/lib/nyxd";

/** After the files are there: the group whose members may use the socket, and the unit where there is a systemd. */
export const POSTINST = `#!/bin/sh
set -e

restart_by_hand() {
  [ -S /run/nyxd/nyxd.sock ] && nyx ping >/dev/null 2>&1 || return 0
  echo "nyxd runs, but not under systemd: restart it to use the new version; containers go on meanwhile."
}

if [ "$1" = configure ] || [ "$1" = abort-upgrade ] || [ "$1" = abort-remove ] || [ "$1" = abort-deconfigure ]; then
  getent group nyx >/dev/null || groupadd --system nyx
  # A unit that the administrator disabled stays so.
  deb-systemd-helper unmask nyxd.service >/dev/null || true
  if deb-systemd-helper --quiet was-enabled nyxd.service; then
    deb-systemd-helper enable nyxd.service >/dev/null || true
  else
    deb-systemd-helper update-state nyxd.service >/dev/null || true
  fi
  if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
    if [ -n "$2" ]; then
      deb-systemd-invoke try-restart nyxd.service >/dev/null || true
    else
      deb-systemd-invoke start nyxd.service >/dev/null || true
    fi
  else
    restart_by_hand
  fi
fi
`;

/** Before the files go. */
export const PRERM = `#!/bin/sh
set -e

if [ "$1" = remove ]; then
  # Nobody could stop containers when their daemon is gone.
  if nyx ping >/dev/null 2>&1; then
    nyx system shutdown --force || echo "nyxd did not stop its containers; they are killed."
  fi
  if [ -d /run/systemd/system ]; then
    deb-systemd-invoke stop nyxd.service >/dev/null || true
  fi
  if [ -d ${BASE}/run/crun ]; then
    for id in $(crun --root ${BASE}/run/crun list -q 2>/dev/null); do
      crun --root ${BASE}/run/crun kill "$id" KILL 2>/dev/null || true
    done
  fi
fi
`;

/** After the files are gone. */
export const POSTRM = `#!/bin/sh
set -e

# Mount points below the data directory, the deepest first; with an argument those that nyx made: a whole disk is the administrator's.
mounts_below() {
  awk -v base=${BASE}/ -v own="$1" 'index($5, base) == 1 {
    for (i = 7; i < NF && $i != "-"; i++) { }
    if (own == "" || $4 != "/" || $(i + 1) ~ /^(overlay|tmpfs|ramfs|nsfs)$/) print $5
  }' /proc/self/mountinfo | sort -r
}

purge_data() {
  [ -d ${BASE} ] || return 0
  mounts_below own | while IFS= read -r mount; do umount "$mount" 2>/dev/null || umount -l "$mount" 2>/dev/null || true; done
  # Nothing is deleted while something of the host's can be reached from here.
  if [ -n "$(mounts_below)" ]; then
    echo "${BASE} is kept: something is mounted below it; unmount it, and delete the directory by hand." >&2
    return 0
  fi
  find ${BASE} -xdev -mindepth 1 -maxdepth 1 ! -name volumes -exec rm -rf --one-file-system {} +
  rmdir ${BASE}/volumes 2>/dev/null || true
  rmdir ${BASE} 2>/dev/null || true
  if [ -d ${BASE}/volumes ]; then
    echo "${BASE}/volumes is kept: volumes hold data of containers. To delete it: rm -r ${BASE}" >&2
  fi
}

if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl --system daemon-reload >/dev/null || true
fi
if [ "$1" = purge ]; then
  if command -v deb-systemd-helper >/dev/null; then
    deb-systemd-helper purge nyxd.service >/dev/null || true
    deb-systemd-helper unmask nyxd.service >/dev/null || true
  fi
  purge_data
  rm -rf /var/cache/nyx
  rmdir /run/nyxd 2>/dev/null || true
  if getent group nyx >/dev/null; then groupdel nyx 2>/dev/null || true; fi
fi
`;
