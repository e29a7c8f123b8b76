/** /proc and cgroup files as this stage reads them. */

import { linuxFile } from "../../ffi/linux/file.ts";
import { kernelDirectory, tryReadKernelFile, tryReadKernelLink, writeKernelFile } from "../../ffi/kernel_files.ts";

const kernel = linuxFile();

/** Text of a file; undefined when it or its process is gone. */
export function tryReadText(path: string): string | undefined {
  return tryReadKernelFile(kernel, path);
}

/** Writes a file that exists. */
export function writeText(path: string, text: string): void {
  writeKernelFile(kernel, path, text);
}

/** Entries of a directory; empty when it is gone. */
export function directory(path: string): { name: string; isDirectory: boolean }[] {
  return kernelDirectory(kernel, path);
}

/** Target of a link; undefined when it is gone. */
export function tryReadLink(path: string): string | undefined {
  return tryReadKernelLink(kernel, path);
}
