/** "Did you mean ...": the known words nearest to a mistyped one. */

/** Fewest insertions, deletions, substitutions and swaps of neighbours that turn one word into another. */
export function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min((last[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (beforeLast[j - 2] ?? 0) + 1);
      }
      current.push(cost);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length] ?? 0;
}

/** Longest words that are compared: longer ones are no typing mistakes, and the work grows with the square. */
const longestWord = 200;

/**
 * Up to `count` words like `word`, nearest first: none further than half its length, unless `word` abbreviates
 * it ("attn" for "attention").
 */
export function nearest(word: string, words: Iterable<string>, count = 3): string[] {
  if (word.length > longestWord) {
    return [];
  }
  const lower = word.toLowerCase();
  const limit = Math.max(2, Math.ceil(word.length / 2));
  return [...new Set(words)]
    .filter((candidate) => candidate.length <= longestWord)
    .map((candidate) => ({ candidate, distance: editDistance(lower, candidate.toLowerCase()) }))
    .filter(({ candidate, distance }) => distance <= limit || abbreviates(lower, candidate.toLowerCase()))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, count)
    .map(({ candidate }) => candidate);
}

/** Whether all letters of a short word, three at least, stand in the long one in this order. */
function abbreviates(short: string, long: string): boolean {
  let found = 0;
  for (const letter of long) {
    if (letter === short[found]) {
      found++;
    }
  }
  return short.length >= 3 && found === short.length && short[0] === long[0];
}

/** "; did you mean A or B?", or a sentence's end with all words if none is near. */
export function suggestion(word: string, words: readonly string[], count = 3): string {
  const near = nearest(word, words, count).map((candidate) => `"${candidate}"`);
  return near.length > 0 ? `; did you mean ${near.join(" or ")}?` : `; use one of ${words.join(", ")}.`;
}

/** "a, b, c and 12 more". */
export function abbreviate(names: readonly string[], count = 12): string {
  if (names.length <= count + 1) {
    return names.join(", ");
  }
  return `${names.slice(0, count).join(", ")} and ${names.length - count} more`;
}
