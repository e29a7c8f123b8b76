/**
 * A kernel that records every call and fails those it is told to: wraps any area of the Kernel interface, so that what is
 * not made to fail is the real thing.
 */

import { errnoNumber, SyscallError } from "../../ffi/errno.ts";

/** One fault. */
export interface Fault {
  /** Method of the area, such as `mount`. */
  call: string;
  /** Which of its calls fails, from 1; missing means every one. */
  nth?: number;
  /** errno name, such as `ENOSPC`. */
  errno: string;
  /** Only calls one of whose string arguments contains this. */
  where?: string;
}

/** One recorded call. */
export interface RecordedCall {
  call: string;
  args: unknown[];
  /** errno name when it failed. */
  errno?: string;
}

/** A wrapped area, and what was asked of it. */
export interface FaultyKernel<K extends object> {
  kernel: K;
  calls: RecordedCall[];
  /** Faults that have struck, in order. */
  struck: Fault[];
}

/**
 * Wraps an area.
 *
 * @param real what answers the calls that do not fail
 * @param faults what fails; a fault for a method that the area lacks throws at once, so that a typo cannot hide
 */
export function faultyKernel<K extends object>(real: K, faults: Fault[] = []): FaultyKernel<K> {
  const calls: RecordedCall[] = [];
  const struck: Fault[] = [];
  const seen = new Map<Fault, number>();
  for (const fault of faults) {
    if (typeof Reflect.get(real, fault.call) !== "function") throw new TypeError(`No kernel call "${fault.call}"`);
    if (errnoNumber(fault.errno) === undefined) throw new TypeError(`No errno "${fault.errno}"`);
  }
  const strike = (name: string, args: unknown[]): Fault | undefined => {
    for (const fault of faults) {
      if (fault.call !== name) continue;
      const { where } = fault;
      if (where !== undefined && !args.some((a) => typeof a === "string" && a.includes(where))) continue;
      const count = (seen.get(fault) ?? 0) + 1;
      seen.set(fault, count);
      if (fault.nth === undefined || fault.nth === count) return fault;
    }
    return undefined;
  };
  const kernel = new Proxy(real, {
    get(target, property) {
      const value = Reflect.get(target, property);
      if (typeof value !== "function" || typeof property !== "string") return value;
      return (...args: unknown[]) => {
        const fault = strike(property, args);
        if (fault !== undefined) {
          struck.push(fault);
          calls.push({ call: property, args, errno: fault.errno });
          const subject = args.find((a) => typeof a === "string");
          throw new SyscallError(property, errnoNumber(fault.errno) ?? 0, subject as string | undefined);
        }
        const record: RecordedCall = { call: property, args };
        calls.push(record);
        try {
          return Reflect.apply(value, target, args);
        } catch (e) {
          if (e instanceof SyscallError) record.errno = e.code;
          throw e;
        }
      };
    },
  });
  return { kernel, calls, struck };
}
