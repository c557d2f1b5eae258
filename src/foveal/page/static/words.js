// What the page says in words.

export const plural = (count, word) => `${count} ${word}${count === 1 ? "" : "s"}`;

const MOST_NAMED = 5;
const LONGEST_NAME = 28;
// Marks that turn the direction of the text after them, and what has no shape.
const UNDRAWABLE = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

// A class's name for a line among others.
export function shortened(name) {
  const letters = [...name.replace(UNDRAWABLE, " ")];
  return letters.length <= LONGEST_NAME ? letters.join("") : `${letters.slice(0, LONGEST_NAME - 1).join("").trimEnd()}…`;
}

// The same within a sentence: letters that run from right to left keep to themselves.
const isolated = name => (/^[\p{ASCII}…]*$/u.test(shortened(name)) ? shortened(name) : `\u2068${shortened(name)}\u2069`);

// "12 RBC, 2 WBC", the most frequent first.
export function tally(detections) {
  const counts = new Map();
  for (const { name } of detections) counts.set(name, (counts.get(name) ?? 0) + 1);
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  const named = sorted.slice(0, MOST_NAMED).map(([name, count]) => `${count} ${isolated(name)}`);
  const rest = sorted.slice(MOST_NAMED).reduce((sum, [, count]) => sum + count, 0);
  return named.join(", ") + (rest > 0 ? `, and ${rest} of other classes` : "");
}

// What was found on a picture, as one sentence for the eye and the ear.
export function summary(picture, shown) {
  const all = picture.found.detections.length;
  if (!all) return "Nothing found: no score was over the model's lowest.";
  if (!shown.length) {
    const best = picture.found.detections[0];
    return `Nothing to show. The best was ${isolated(best.name)} with a score of ${best.score.toFixed(2)}; lower the threshold to see more.`;
  }
  return `${plural(shown.length, "object")} found: ${tally(shown)}.`;
}

// A file's name without what stands behind the last dot.
export const stem = name => name.replace(/\.[^.]*$/, "") || name;
