/** Path parameters by name. */

import type { z } from "zod";
import { containerRef, execId, objectName } from "./values.ts";

/** Schema of each parameter that paths have. */
export const PARAMETERS: Readonly<Record<string, z.ZodString>> = { id: containerRef, name: objectName, execId };
