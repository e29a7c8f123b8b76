/** The commands below `nyx compose`. */

import type { CommandNode, CommandTable } from "../args/definition.ts";
import { PROJECT_FLAGS } from "../compose/flags.ts";

const children: CommandTable = {
  apply: {
    summary: "Do what a plan says, unless the files or what runs changed since",
    load: () => import("./compose_apply.ts"),
  },
  build: { summary: "Build the images of a project's services", load: () => import("./compose_build.ts") },
  config: { summary: "Print the normalised model of the compose files", load: () => import("./compose_config.ts") },
  cp: {
    summary: "Copy files between a service's containers and this machine",
    load: () => import("./compose_cp.ts"),
  },
  create: {
    summary: "Create what the compose files ask for, and start nothing",
    load: () => import("./compose_create.ts"),
  },
  down: { summary: "Stop and remove a project's containers and networks", load: () => import("./compose_down.ts") },
  events: { summary: "Show events of a project's containers, live", load: () => import("./compose_events.ts") },
  exec: { summary: "Run a command in a running container of a service", load: () => import("./compose_exec.ts") },
  images: {
    summary: "List the images that a project's containers were made from",
    load: () => import("./compose_images.ts"),
  },
  kill: { summary: "Send a signal to a project's containers", load: () => import("./compose_kill.ts") },
  logs: { summary: "Show the output of a project's containers", load: () => import("./compose_logs.ts") },
  ls: { summary: "List projects", load: () => import("./compose_ls.ts") },
  pause: { summary: "Freeze a project's containers", load: () => import("./compose_pause.ts") },
  plan: { summary: "Show what up would do, and why; change nothing", load: () => import("./compose_plan.ts") },
  port: { summary: "Show where a service's port is published", load: () => import("./compose_port.ts") },
  ps: { summary: "List a project's containers", load: () => import("./compose_ps.ts") },
  pull: { summary: "Download a project's images, side by side", load: () => import("./compose_pull.ts") },
  restart: {
    summary: "Restart a project's containers, dependencies first",
    load: () => import("./compose_restart.ts"),
  },
  rm: { summary: "Remove a project's containers that do not run", load: () => import("./compose_rm.ts") },
  run: { summary: "Run a command in a new container of a service", load: () => import("./compose_run.ts") },
  scale: { summary: "Run so many containers of services", load: () => import("./compose_scale.ts") },
  start: { summary: "Start a project's containers, dependencies first", load: () => import("./compose_start.ts") },
  stop: { summary: "Stop a project's containers, dependents first", load: () => import("./compose_stop.ts") },
  top: { summary: "Show the processes of a project's containers", load: () => import("./compose_top.ts") },
  unpause: { summary: "Thaw a project's containers", load: () => import("./compose_unpause.ts") },
  up: { summary: "Create and start what the compose files ask for", load: () => import("./compose_up.ts") },
  version: { summary: "Show the version of nyx", load: () => import("./compose_version.ts") },
  watch: {
    summary: "Bring services up, and carry over what changes in their files (develop.watch)",
    load: () => import("./compose_watch.ts"),
  },
  wait: {
    summary: "Wait until the first container of some services has stopped; return its exit code",
    load: () => import("./compose_wait.ts"),
  },
};

/** `nyx compose`. */
export const compose: CommandNode = {
  summary: "Run applications from compose files",
  group: "management",
  flags: PROJECT_FLAGS,
  children,
};
