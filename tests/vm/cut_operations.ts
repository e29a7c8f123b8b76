/** What is under way when the power goes. Scripts for the guest's sh; `$REGISTRY` holds busybox and cargo. */

import { CARGO_CHECK } from "./cargo.ts";

/** One kind of work that a cut interrupts. */
export interface Operation {
  name: string;
  /** Brings about what the work starts from. */
  prepare: string;
  /** The work; ended with 0 when nothing interrupts it. */
  work: string;
  /** After the next boot: the same work, or what finishes it, and whether its result is right. */
  finish: string;
  /** How long the work takes in a guest on a quiet machine, ms: cuts fall into this time. */
  takesMs: number;
}

const CARGO = "$REGISTRY/cargo";
const WHOLE = `nyx run --rm --network none ${CARGO} ${CARGO_CHECK}`;
const FORGET_CARGO = `nyx image rm -f ${CARGO} >/dev/null 2>&1; nyx image prune -f`;
const RUN_FRESH = "nyx run -d --name fresh --restart always -v fresh:/data -p 8000:80 busybox sleep 100000";
const REMOVE_FRESH = "nyx rm -f fresh >/dev/null 2>&1; nyx volume rm fresh >/dev/null 2>&1; true";

/** The file of the compose operation; put at /run/vm/compose.yaml before each. */
const COMPOSE = `services:
  one: { image: busybox, command: sleep 100000, volumes: ["v:/v"] }
  two: { image: busybox, command: sleep 100000, depends_on: [one], ports: ["8100:80"] }
volumes: { v: {} }
`;
const WRITE_COMPOSE = `printf '%s' '${COMPOSE}' >/run/vm/compose.yaml`;
const compose = (rest: string) => `nyx compose -p shop -f /run/vm/compose.yaml ${rest}`;

/** All kinds, in the order in which they take turns. */
export const OPERATIONS: readonly Operation[] = [
  {
    name: "pull",
    prepare: FORGET_CARGO,
    work: `nyx pull -q ${CARGO}`,
    finish: `nyx pull -q ${CARGO} && ${WHOLE}`,
    takesMs: 9000,
  },
  {
    name: "extraction",
    prepare: "nyx image rm -f deep >/dev/null 2>&1; nyx image prune -f",
    work: "nyx load -q -i /usr/lib/nyx-vm/deep.tar",
    finish: `nyx load -q -i /usr/lib/nyx-vm/deep.tar && test "$(nyx run --rm deep cat /top)" = 120`,
    takesMs: 7000,
  },
  {
    name: "start",
    prepare: "nyx stop -t 0 idle",
    work: "nyx start idle",
    finish: "nyx start idle && nyx exec idle true",
    takesMs: 2500,
  },
  {
    name: "stop",
    prepare: "nyx start idle",
    work: "nyx stop -t 1 idle",
    finish: `nyx stop -t 0 idle && test "$(nyx inspect -f '{{.State.Running}}' idle)" = false`,
    takesMs: 3000,
  },
  {
    name: "run",
    prepare: REMOVE_FRESH,
    work: RUN_FRESH,
    finish: `${REMOVE_FRESH}; ${RUN_FRESH} && nyx exec fresh true`,
    takesMs: 3000,
  },
  {
    name: "rm",
    prepare: `${REMOVE_FRESH}; ${RUN_FRESH}`,
    work: "nyx rm -f fresh && nyx volume rm fresh",
    finish: `${REMOVE_FRESH}; ! nyx inspect fresh >/dev/null 2>&1 && ! nyx volume inspect fresh >/dev/null 2>&1`,
    takesMs: 3500,
  },
  {
    name: "compose up",
    prepare: `${WRITE_COMPOSE}; ${compose("down -v")} || true`,
    work: compose("up -d"),
    finish: `${WRITE_COMPOSE}; ${compose("up -d")} && test "$(${compose("ps -q")} | wc -l)" = 2 && ${
      compose("down -v")
    }`,
    takesMs: 6000,
  },
  {
    name: "log rotation",
    prepare: "nyx rm -f chatty >/dev/null 2>&1; true",
    work: "nyx run -d --name chatty --log-opt max-size=20k --log-opt max-file=3 busybox " +
      `sh -c 'i=0; while :; do i=$((i+1)); echo "line $i of many"; done'; sleep 60`,
    // What is kept is in order and without a gap; the container may have been cut before it was recorded.
    finish: "if nyx inspect chatty >/dev/null 2>&1; then nyx logs chatty | " +
      `awk '/^line [0-9]+ of many$/ { if (last && $2 != last + 1) { print "gap before " $0; bad = 1 } last = $2; next } ` +
      `{ print "torn: " $0; bad = 1 } END { exit bad }' && nyx rm -f chatty; fi`,
    takesMs: 6000,
  },
  {
    name: "image rm",
    prepare: `nyx pull -q ${CARGO}`,
    work: `nyx image rm ${CARGO}`,
    finish: `nyx image rm -f ${CARGO} >/dev/null 2>&1; nyx pull -q ${CARGO} && ${WHOLE}`,
    takesMs: 2500,
  },
  {
    name: "prune",
    prepare: `nyx pull -q ${CARGO}; nyx volume create left >/dev/null`,
    work: "nyx image prune -af && nyx volume prune -af",
    finish: `nyx image prune -af && nyx volume prune -af && ! nyx image inspect ${CARGO} >/dev/null 2>&1`,
    takesMs: 3500,
  },
  {
    name: "network",
    prepare: "nyx network rm own >/dev/null 2>&1; true",
    work:
      "nyx network create own && nyx network connect own keep && nyx network disconnect own keep && nyx network rm own",
    finish: "nyx network disconnect own keep >/dev/null 2>&1; nyx network rm own >/dev/null 2>&1; " +
      "nyx network create own && nyx network rm own",
    takesMs: 5500,
  },
  {
    name: "daemon's start",
    prepare: "kill $(cat /run/vm/nyxd.pid); while kill -0 $(cat /run/vm/nyxd.pid) 2>/dev/null; do sleep 0.2; done",
    work: "nyxd-up",
    finish: "nyx ps -q",
    takesMs: 9000,
  },
];
