/** Suggests the known name that a misspelt name probably meant. */

/** The nearest of `known` to `name`; null if none is near. */
export function nearest(name: string, known: readonly string[]): string | null {
  const words = wordsOf(name);
  const letters = words.join("");
  const sortedLetters = sorted(words);
  let best: string | null = null;
  let bestDistance = Math.max(1, Math.floor(letters.length / 4)) + 1;
  for (const candidate of known) {
    const others = wordsOf(candidate);
    // Also in another order of words: `maxPacketByte` suggests `packetBytesMax`.
    const distance = Math.min(
      editDistance(letters, others.join(""), bestDistance),
      editDistance(sortedLetters, sorted(others), bestDistance),
    );
    if (distance < bestDistance) {
      bestDistance = distance;
      best = candidate;
    }
  }
  return best ?? onlyMatch(known, (candidate) => isPrefix(letters, wordsOf(candidate).join("")));
}

/** The only candidate that fulfils a condition, or null. */
function onlyMatch(known: readonly string[], matches: (name: string) => boolean): string | null {
  const found = known.filter(matches);
  return found.length === 1 ? found[0]! : null;
}

function isPrefix(a: string, b: string): boolean {
  const isLong = Math.min(a.length, b.length) >= PREFIX_LENGTH_MIN;
  return isLong && (a.startsWith(b) || b.startsWith(a));
}

function wordsOf(name: string): string[] {
  const split = name.replace(/([a-z0-9])([A-Z])/g, "$1 $2").toLowerCase();
  return split.split(/[^a-z0-9]+/).filter((word) => word !== "");
}

function sorted(words: readonly string[]): string {
  return [...words].sort().join("");
}

/** The number of letters to add, remove, replace, or swap with a neighbour; at most `limit`. */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let before: number[] = [];
  let last: number[] = Array.from({ length: b.length + 1 }, (_, n) => n);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row.push(
        Math.min(
          last[j]! + 1,
          row[j - 1]! + 1,
          last[j - 1]! + (isSame ? 0 : 1),
          isSwapped ? before[j - 2]! + 1 : limit,
        ),
      );
    }
    before = last;
    last = row;
  }
  return Math.min(limit, last[b.length]!);
}

/** The shortest beginning that identifies a name. */
const PREFIX_LENGTH_MIN = 4;
