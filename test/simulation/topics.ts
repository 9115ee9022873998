/** The topic names and filters of the simulated clients, and which filters match which names. */
import { encodeUtf8, matchesFilter, sharedFilter } from "../../core/mod.ts";

/** The last character of a name is its number. */
export const topicNames: readonly string[] = ["a/0", "a/1", "a/2", "b/3", "b/4", "b/5"];
export const topicBytes: readonly Uint8Array[] = topicNames.map(encodeUtf8);

export interface Filter {
  readonly number: number;
  readonly text: string;
  readonly bytes: Uint8Array;
  readonly isShared: boolean;
  /** Whether it matches each topic. */
  readonly matches: readonly boolean[];
}

export const filters: readonly Filter[] = [
  ...topicNames,
  ...["a/+", "b/#", "#"],
  ...["$share/g/a/+", "$share/h/b/3"],
].map((text, number) => {
  const shared = sharedFilter(text);
  const plain = shared === null ? text : shared.filter;
  const matches = topicNames.map((name) => matchesFilter(plain, name));
  return { number, text, bytes: encodeUtf8(text), isShared: shared !== null, matches };
});

export const filterOf: ReadonlyMap<string, Filter> = new Map(
  filters.map((filter) => [filter.text, filter]),
);

/** The filters that match each topic, without and with the shared ones. */
export const plainFilters: readonly (readonly Filter[])[] = topicNames.map((_, topic) =>
  filters.filter(({ isShared, matches }) => !isShared && matches[topic]),
);
export const sharedFilters: readonly (readonly Filter[])[] = topicNames.map((_, topic) =>
  filters.filter(({ isShared, matches }) => isShared && matches[topic]),
);
