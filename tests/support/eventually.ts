import assert from "node:assert/strict";

/** Asks again and again until `check` holds; fails when it did not within `ms` milliseconds. */
export async function eventually(what: string, check: () => boolean | Promise<boolean>, ms: number): Promise<void> {
  for (const end = Date.now() + ms; Date.now() < end;) {
    if (await check()) return;
    await new Promise((r) => setTimeout(r, 25));
  }
  assert.fail(`${what} did not happen within ${ms} ms`);
}
