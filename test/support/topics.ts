/** Random topics. */
import type { Random } from "./random.ts";

/** Short levels of few kinds, so that filters and names meet often. */
export function randomText(random: Random, isFilter: boolean): string {
  const levels = Array.from({ length: 1 + random.below(4) }, () =>
    random.pick(isFilter ? ["a", "b", "", "$x", "+"] : ["a", "b", "", "$x"]),
  );
  if (isFilter && random.chance(3)) levels.push("#");
  const text = levels.join("/");
  return text === "" ? "/" : text;
}
