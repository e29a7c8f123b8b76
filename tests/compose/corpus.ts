/** The public compose files that stand beside the checkout, or where NYX_COMPOSE_CORPUS says; none where there are none. */

/** Their directory. */
export const dir = Deno.env.get("NYX_COMPOSE_CORPUS") ??
  new URL("../../../shared/compose-corpus", import.meta.url).pathname;

/** Their names, sorted. */
export const files: readonly string[] = names();

function names(): string[] {
  try {
    return [...Deno.readDirSync(dir)].map((e) => e.name).filter((n) => /\.ya?ml$/.test(n)).sort();
  } catch {
    return [];
  }
}
