/**
 * The life of a container as a pure table: which state follows which event.
 *
 * created → starting → running ⇄ paused; running → stopping → exited; exited → starting again; an exit that the restart
 * policy answers goes through restarting; removing ends it, dead is a removal that failed and can be tried again.
 */

import type { ContainerStatus } from "../spec/container.ts";
import { NyxError } from "../spec/errors.ts";

/** What can happen to a container. */
export type Transition =
  | "start"
  | "started"
  | "start-failed"
  | "pause"
  | "unpause"
  | "stop"
  | "exit"
  | "schedule-restart"
  | "cancel-restart"
  | "remove"
  | "remove-failed";

const TABLE: Readonly<Record<Transition, Partial<Record<ContainerStatus, ContainerStatus>>>> = {
  start: { created: "starting", exited: "starting", restarting: "starting" },
  started: { starting: "running" },
  "start-failed": { starting: "exited" },
  pause: { running: "paused" },
  unpause: { paused: "running" },
  stop: { running: "stopping", paused: "stopping", starting: "stopping", stopping: "stopping" },
  exit: { starting: "exited", running: "exited", paused: "exited", stopping: "exited" },
  "schedule-restart": { exited: "restarting" },
  "cancel-restart": { restarting: "exited" },
  remove: { created: "removing", exited: "removing", dead: "removing", removing: "removing" },
  "remove-failed": { removing: "dead" },
};

/** States in which a process exists. */
export const LIVE: ReadonlySet<ContainerStatus> = new Set(["starting", "running", "paused", "stopping"]);

/** The state that follows, or undefined when the transition is not allowed from `from`. */
export function tryNext(from: ContainerStatus, transition: Transition): ContainerStatus | undefined {
  return TABLE[transition][from];
}

const FIX: Partial<Record<ContainerStatus, string>> = {
  running: "it is running; stop it first",
  paused: "it is paused; unpause it first",
  created: "it was never started; start it first",
  exited: "it is not running; start it first",
  restarting: "it waits to be restarted; stop it first",
  starting: "it is starting; try again in a moment",
  stopping: "it is stopping; wait for it",
  removing: "it is being removed",
  dead: "its removal failed; remove it with force",
};

/**
 * The state that follows.
 *
 * @throws NyxError failed_precondition naming the container, its state and the way out
 */
export function next(from: ContainerStatus, transition: Transition, name: string): ContainerStatus {
  const to = tryNext(from, transition);
  if (to === undefined) {
    throw new NyxError("failed_precondition", `Could not ${transition} container "${name}": ${FIX[from] ?? from}`, {
      context: { state: from, transition },
    });
  }
  return to;
}
