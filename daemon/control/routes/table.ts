/** The table of routes: what is served, validated and documented. Fixed paths stand before those with parameters. */

import type { Route } from "../route.ts";
import { archiveRoutes } from "./archive.ts";
import { attachRoutes } from "./attach.ts";
import { buildRoutes } from "./build.ts";
import { composeRoutes } from "./compose.ts";
import { containerRoutes } from "./containers.ts";
import { imageRoutes } from "./images.ts";
import { logRoutes } from "./logs.ts";
import { networkRoutes } from "./networks.ts";
import { systemRoutes } from "./system.ts";
import { volumeRoutes } from "./volumes.ts";

/** All routes. */
export const ROUTES: readonly Route[] = [
  ...systemRoutes,
  ...attachRoutes,
  ...archiveRoutes,
  ...containerRoutes,
  ...logRoutes,
  ...imageRoutes,
  ...buildRoutes,
  ...volumeRoutes,
  ...networkRoutes,
  ...composeRoutes,
];
