/** Matches topics to subscribers, by number and kind of filters. */
import { parseLimits } from "../../core/mod.ts";
import type { MicroCase } from "./case.ts";
import { codecs, deviceTopic } from "./codecs.ts";

const limits = parseLimits();
const kinds: Readonly<Record<string, (n: number) => string>> = {
  exact: deviceTopic,
  plus: (n) => deviceTopic(n).replace(/\/floor-\d+\//, "/+/"),
  hash: (n) => deviceTopic(n).replace(/temp$/, "#"),
  mixed: (n) =>
    n % 10 > 0 ? deviceTopic(n) : n % 20 === 0 ? kinds["plus"]!(n) : kinds["hash"]!(n),
};
const LOOKUPS = 1000;

function matchCase(filters: number, kind: string, topic: "hit" | "miss"): MicroCase[] {
  return codecs
    .filter(([impl]) => impl !== "auto")
    .map(([impl, make]) => ({
      name: "match",
      impl,
      params: { filters, kind, topic },
      ops: LOOKUPS,
      prepare: () => {
        const codec = make();
        const index = codec.topics.create(limits);
        for (let n = 0; n < filters; n++) {
          index.add(Buffer.from(kinds[kind]!(n)), (n % 1000) + 1, 1);
        }
        const ids = Array.from({ length: 100 * LOOKUPS }, (_, k) => {
          const n = Math.imul(k, 7919) % filters;
          // A miss differs at the fourth level, before the `#` of any filter.
          const device = deviceTopic(n);
          const name = Buffer.from(topic === "hit" ? device : device.replace("/dev-", "/gone-"));
          return codec.ingest.intern(name, 0, name.length);
        });
        const out = new Uint32Array(512);
        let from = 0;
        return () => {
          let sum = 0;
          for (let k = from; k < from + LOOKUPS; k++) sum += index.match(ids[k]!, out);
          from = (from + LOOKUPS) % ids.length;
          return sum;
        };
      },
    }));
}

const changes: MicroCase[] = codecs
  .filter(([impl]) => impl !== "auto")
  .map(([impl, make]) => ({
    name: "subscribe and unsubscribe",
    impl,
    params: { filters: 100_000 },
    ops: 1000,
    prepare: () => {
      const index = make().topics.create(limits);
      for (let n = 0; n < 100_000; n++) index.add(Buffer.from(deviceTopic(n)), 1, 1);
      const filters = Array.from({ length: 1000 }, (_, n) => Buffer.from(deviceTopic(n * 97)));
      return () => {
        for (const filter of filters) index.add(filter, 2, 1);
        return filters.reduce((sum, filter) => sum + Number(index.remove(filter, 2)), 0);
      };
    },
  }));

export const topicCases: readonly MicroCase[] = [
  ...[10, 10_000, 1_000_000].flatMap((filters) =>
    Object.keys(kinds).flatMap((kind) => [
      ...matchCase(filters, kind, "hit"),
      ...matchCase(filters, kind, "miss"),
    ]),
  ),
  ...changes,
];
