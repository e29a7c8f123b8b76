/**
 * Stage `rootfs` (D05): overlay mounts, files inside roots, volumes' first content, removal and measuring of trees.
 *
 * The thread stays in the daemon's mount namespace, so that what it mounts is seen by crun and by every other worker; where the
 * kernel lacks `lowerdir+` it takes a working directory of its own, nothing else.
 */

import { linuxFile } from "../../ffi/linux/file.ts";
import { linuxMount } from "../../ffi/linux/mount.ts";
import type { RootfsStage } from "../protocol.ts";
import { emitter, serve } from "../serve.ts";
import { archive, layerTar, pathStat, unarchive } from "./archive.ts";
import { hostDevices } from "./host_devices.ts";
import { readKernelFeatures } from "./kernel_features.ts";
import { compileFilters, readHostFacts, readKernelRelease } from "./host_facts.ts";
import { shareDirectory, unmountBelow } from "./mount_table.ts";
import { RootfsOperations } from "./operations.ts";
import { checkAbsolute } from "./paths.ts";
import { removeTree } from "./remove_tree.ts";
import { diskUsage } from "./usage.ts";
import { bindSeen, bindSource, bindSubpath, checkPropagation, mountVolume } from "./volume_mounts.ts";

const kernel = { ...linuxFile(), ...linuxMount() };
const log = emitter<RootfsStage>();
const operations = new RootfsOperations(kernel, { warn: (msg, fields) => log.log("warn", msg, fields) });

serve<RootfsStage>("rootfs", {
  mount: (request) => operations.mount(request),
  unmount: (request) => operations.unmount(request),
  populateVolume: (request, { signal }) => operations.populateVolume(request, signal),
  ensureMountpoint: (request) => operations.ensureMountpoint(request),
  removeTree: async ({ path }) => ({ removed: await removeTree(kernel, checkAbsolute("path", path)) }),
  usage: async ({ paths }, { signal }) => ({ bytes: await diskUsage(kernel, paths, signal) }),
  listMounts: (request) => operations.listMounts(request),
  shareDir: ({ path }) => ({ mounted: shareDirectory(kernel, checkAbsolute("path", path)) }),
  unmountBelow: async ({ path }) => ({ unmounted: await unmountBelow(kernel, checkAbsolute("path", path)) }),
  hostDevices: ({ devices, all }) => ({ devices: hostDevices(kernel, devices, all) }),
  bindSource: ({ source, create, propagation, ...place }) => {
    const found = bindSource(kernel, source, create);
    const { unseen } = checkPropagation(kernel, source, propagation);
    return { ...found, source: unseen ? bindSeen(kernel, { ...place, source }) : source };
  },
  mountVolume: (request) => ({ mounted: mountVolume(kernel, request) }),
  bindSubpath: (request) => bindSubpath(kernel, request),
  hostFacts: () => readHostFacts(kernel),
  kernelFeatures: () => readKernelFeatures(kernel),
  seccompFilters: () => compileFilters(readKernelRelease(kernel)),
  pathStat: (request) => pathStat(kernel, request),
  archive: (request, { signal }) => archive(kernel, request, signal),
  unarchive: (request, { signal }) => unarchive(kernel, request, signal),
  layerTar: (request, { signal }) => layerTar(kernel, request, signal),
  diff: (request, { signal }) => operations.diff(request, signal),
});
