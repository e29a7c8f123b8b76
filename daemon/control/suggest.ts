/** "Did you mean": the known word closest to what was typed. */

/** Edit distance with swaps of neighbours (optimal string alignment), given up above `limit`. */
function distance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) > limit) return limit + 1;
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      let best = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        best = Math.min(best, (before[j - 2] ?? 0) + 1);
      }
      row.push(best);
    }
    before = last;
    last = row;
  }
  return last[b.length] ?? limit + 1;
}

/** Writing conventions apart, `working_dir` and `workingDir` are one word. */
function plain(word: string): string {
  return word.toLowerCase().replace(/[_-]/g, "");
}

/**
 * The closest of `known`, when it is close enough to be meant.
 *
 * @param word what was typed; at most 64 characters are looked at
 * @param known words to choose from
 */
export function suggest(word: string, known: Iterable<string>): string | undefined {
  const wanted = plain(word.slice(0, 64));
  const limit = wanted.length <= 3 ? 1 : wanted.length <= 7 ? 2 : 3;
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const candidate of known) {
    const d = distance(wanted, plain(candidate), limit);
    if (d < bestDistance) [best, bestDistance] = [candidate, d];
  }
  return best;
}
