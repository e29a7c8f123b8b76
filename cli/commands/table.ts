/** The tree of commands. Each is loaded when it is used; specifiers are literal so that bundlers find the modules. */

import type { CommandNode, CommandTable } from "../args/definition.ts";
import { compose } from "./compose_table.ts";

const ls: CommandNode = { summary: "List containers", aliases: ["list", "ps"], load: () => import("./ps.ts") };
const images: CommandNode = { summary: "List images", aliases: ["list"], load: () => import("./image_ls.ts") };
const rmi: CommandNode = { summary: "Remove images", aliases: ["remove"], load: () => import("./image_rm.ts") };

const run: CommandNode = { summary: "Create and run a new container from an image", load: () => import("./run.ts") };
const create: CommandNode = { summary: "Create a new container", load: () => import("./create.ts") };
const start: CommandNode = { summary: "Start stopped containers", load: () => import("./start.ts") };
const stop: CommandNode = { summary: "Stop running containers", load: () => import("./stop.ts") };
const restart: CommandNode = { summary: "Restart containers", load: () => import("./restart.ts") };
const kill: CommandNode = { summary: "Send a signal to running containers", load: () => import("./kill.ts") };
const rm: CommandNode = { summary: "Remove containers", aliases: ["remove"], load: () => import("./rm.ts") };
const logs: CommandNode = { summary: "Show the logs of a container", load: () => import("./logs.ts") };
const exec: CommandNode = { summary: "Run a command in a running container", load: () => import("./exec.ts") };
const attach: CommandNode = { summary: "Attach to a running container", load: () => import("./attach.ts") };
const wait: CommandNode = {
  summary: "Wait until containers stop, then print their exit codes",
  load: () => import("./wait.ts"),
};
const pause: CommandNode = { summary: "Freeze all processes of containers", load: () => import("./pause.ts") };
const unpause: CommandNode = { summary: "Thaw paused containers", load: () => import("./unpause.ts") };
const rename: CommandNode = { summary: "Rename a container", load: () => import("./rename.ts") };
const update: CommandNode = { summary: "Change limits of containers", load: () => import("./update.ts") };
const top: CommandNode = { summary: "Show the processes of a container", load: () => import("./top.ts") };
const stats: CommandNode = { summary: "Show resource usage, live", load: () => import("./stats.ts") };
const commit: CommandNode = { summary: "Make an image of what a container changed", load: () => import("./commit.ts") };
const cp: CommandNode = { summary: "Copy files between a container and this machine", load: () => import("./cp.ts") };
const exportNode: CommandNode = {
  summary: "Write a container's file system as a tar archive",
  load: () => import("./export.ts"),
};
const diff: CommandNode = {
  summary: "Show what a container changed in its file system",
  load: () => import("./diff.ts"),
};
const port: CommandNode = { summary: "Show the published ports of a container", load: () => import("./port.ts") };
const pull: CommandNode = { summary: "Download an image from a registry", load: () => import("./pull.ts") };
const tag: CommandNode = { summary: "Give an image another reference", load: () => import("./tag.ts") };
const load: CommandNode = { summary: "Load images from an archive", load: () => import("./load.ts") };
const save: CommandNode = { summary: "Save images to an archive", load: () => import("./save.ts") };
const history: CommandNode = { summary: "Show how an image was made", load: () => import("./image_history.ts") };
const info: CommandNode = {
  summary: "Show the state of the daemon and its host",
  load: () => import("./system_info.ts"),
};
const events: CommandNode = { summary: "Show events of the daemon, live", load: () => import("./system_events.ts") };

const build: CommandNode = { summary: "Build an image from a Dockerfile", load: () => import("./build.ts") };

const builder: CommandTable = {
  build,
  prune: { summary: "Remove the steps of earlier builds", load: () => import("./builder_prune.ts") },
};

const container: CommandTable = {
  attach,
  commit,
  cp,
  create,
  diff,
  exec,
  export: exportNode,
  inspect: { summary: "Show all about containers", load: () => import("./container_inspect.ts") },
  kill,
  logs,
  ls,
  pause,
  port,
  prune: { summary: "Remove all containers that do not run", load: () => import("./container_prune.ts") },
  rename,
  restart,
  rm,
  run,
  start,
  stats,
  stop,
  top,
  unpause,
  update,
  wait,
};

const image: CommandTable = {
  build,
  history,
  inspect: { summary: "Show all about images", load: () => import("./image_inspect.ts") },
  load,
  ls: images,
  prune: { summary: "Remove unused images", load: () => import("./image_prune.ts") },
  pull,
  rm: rmi,
  save,
  tag,
};

const volume: CommandTable = {
  create: { summary: "Create a volume", load: () => import("./volume_create.ts") },
  export: { summary: "Write what is in a volume as a tar archive", load: () => import("./volume_export.ts") },
  import: { summary: "Unpack a tar archive into a volume", load: () => import("./volume_import.ts") },
  inspect: { summary: "Show all about volumes", load: () => import("./volume_inspect.ts") },
  ls: { summary: "List volumes", aliases: ["list"], load: () => import("./volume_ls.ts") },
  prune: { summary: "Remove unused volumes", load: () => import("./volume_prune.ts") },
  rm: { summary: "Remove volumes", aliases: ["remove"], load: () => import("./volume_rm.ts") },
};

const network: CommandTable = {
  connect: { summary: "Connect a container with a network", load: () => import("./network_connect.ts") },
  create: { summary: "Create a network", load: () => import("./network_create.ts") },
  disconnect: { summary: "Disconnect a container from a network", load: () => import("./network_disconnect.ts") },
  explain: {
    summary: "Show what lets packets to a port or a container through, or stops them",
    load: () => import("./network_explain.ts"),
  },
  inspect: { summary: "Show all about networks", load: () => import("./network_inspect.ts") },
  ls: { summary: "List networks", aliases: ["list"], load: () => import("./network_ls.ts") },
  prune: { summary: "Remove unused networks", load: () => import("./network_prune.ts") },
  rm: { summary: "Remove networks", aliases: ["remove"], load: () => import("./network_rm.ts") },
};

const doctor: CommandNode = { summary: "Look for what on this host hinders nyx", load: () => import("./doctor.ts") };

const system: CommandTable = {
  check: { summary: "Compare records with what is there, and repair", load: () => import("./system_check.ts") },
  df: { summary: "Show disk usage", load: () => import("./system_df.ts") },
  doctor,
  events,
  info,
  prune: { summary: "Remove everything that is not used", load: () => import("./system_prune.ts") },
  shutdown: { summary: "Stop all containers and the daemon", load: () => import("./system_shutdown.ts") },
};

/** All commands. */
export const COMMANDS: CommandTable = {
  run: { ...run, group: "common" },
  exec: { ...exec, group: "common" },
  ps: { ...ls, aliases: [], group: "common" },
  logs: { ...logs, group: "common" },
  stop: { ...stop, group: "common" },
  rm: { ...rm, aliases: [], group: "common" },
  pull: { ...pull, group: "common" },
  build: { ...build, group: "common" },
  images: { ...images, aliases: [], group: "common" },
  login: { summary: "Log in to a registry", group: "common", load: () => import("./login.ts") },
  logout: { summary: "Log out from a registry", group: "common", load: () => import("./logout.ts") },
  version: { summary: "Show the versions of nyx and nyxd", group: "common", load: () => import("./version.ts") },
  info: { ...info, group: "common" },
  compose,
  builder: { summary: "Manage builds", group: "management", children: builder },
  container: { summary: "Manage containers", group: "management", children: container },
  image: { summary: "Manage images", group: "management", children: image },
  network: { summary: "Manage networks", group: "management", children: network },
  system: { summary: "Manage nyx", group: "management", children: system },
  volume: { summary: "Manage volumes", group: "management", children: volume },
  attach,
  commit,
  completion: { summary: "Print a completion script for a shell", load: () => import("./completion.ts") },
  cp,
  create,
  diff,
  doctor,
  events,
  export: exportNode,
  help: { summary: "Show help on a command", load: () => import("./help.ts") },
  history,
  inspect: { summary: "Show all about containers, images, volumes or networks", load: () => import("./inspect.ts") },
  kill,
  load,
  pause,
  ping: { summary: "Check whether nyxd answers", load: () => import("./ping.ts") },
  port,
  rename,
  restart,
  rmi: { ...rmi, aliases: [] },
  save,
  start,
  stats,
  tag,
  top,
  unpause,
  update,
  wait,
  __complete: { summary: "Candidates for shell completion", hidden: true, load: () => import("./complete.ts") },
};
