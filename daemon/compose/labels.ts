/** Labels by which Docker Compose, and tools that know it, find the objects of a project. */

/** Names of the labels. */
export const LABEL = {
  project: "com.docker.compose.project",
  service: "com.docker.compose.service",
  number: "com.docker.compose.container-number",
  oneoff: "com.docker.compose.oneoff",
  hash: "com.docker.compose.config-hash",
  workingDir: "com.docker.compose.project.working_dir",
  configFiles: "com.docker.compose.project.config_files",
  dependsOn: "com.docker.compose.depends_on",
  version: "com.docker.compose.version",
  network: "com.docker.compose.network",
  volume: "com.docker.compose.volume",
} as const;

/** Version of Docker Compose whose behaviour is followed; what the version label says. */
export const COMPOSE_VERSION = "2.40.0";

/** Whether a label is one of Docker Compose's own. */
export function isComposeLabel(key: string): boolean {
  return key.startsWith("com.docker.compose.");
}
