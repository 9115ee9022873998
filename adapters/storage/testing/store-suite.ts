/**
 * The tests that every store has to pass, the stores of sansmq and those of programs. They use no test
 * framework: a test is a name and a function that rejects with an error if the store does not pass.
 */
import { messageKey, Table } from "../../../core/mod.ts";
import type { Store } from "../store.ts";
import type { Change } from "./contents.ts";
import { changed } from "./contents.ts";
import { Subject } from "./subject.ts";

/** How the tests reach a store. A place is what tells one store from another, such as the path of a folder. */
export interface StoreFixture<Place> {
  /** False: the stores keep nothing beyond their end, such as `memoryStore()`. Default: true. */
  readonly isDurable?: boolean;
  /** The records of the largest batch. Default: 100,000. */
  readonly recordCount?: number;
  /** Makes a place for a new store. Each test has its own. */
  create(): Place | Promise<Place>;
  /** Opens the store at a place. Called again after the store was closed: it has its records. */
  open(place: Place): Promise<Store>;
  /**
   * Ends the open store as the end of its process would: without `close`, also during a commit. What is
   * not stored by then is lost. Without it, the tests of crashes are left out.
   */
  crash?(place: Place): void | Promise<void>;
  /** Lets every commit fail from now on, as a full disk does, or succeed again. Without it, those tests are left out. */
  setFull?(place: Place, isFull: boolean): void | Promise<void>;
  /** Called at the end of each test, whether the store passed or not. The store is closed, if the test got so far. */
  remove?(place: Place): void | Promise<void>;
}

export interface StoreTest {
  /** The fact that the test establishes. */
  readonly name: string;
  /** Resolves if the store passes; rejects with an error that names the fault. */
  run(): Promise<void>;
}

/** The tests for the stores of a fixture. */
export function storeSuite<Place>(fixture: StoreFixture<Place>): StoreTest[] {
  const { isDurable = true, recordCount = 100_000, crash, setFull } = fixture;
  const durableTests = [
    ...contentTests,
    largeBatchTest(recordCount),
    ...readTests,
    ...(crash === undefined ? [] : crashTests),
    ...(setFull === undefined ? [] : fullTests),
  ];
  const tests = isDurable ? durableTests : volatileTests;
  return tests.map(([name, check]) => ({
    name,
    run: async () => {
      const place = await fixture.create();
      const subject = new Subject({
        open: () => fixture.open(place),
        crash: async () => crash?.(place),
        setFull: async (isFull) => setFull?.(place, isFull),
      });
      try {
        await check(subject);
      } finally {
        await fixture.remove?.(place);
      }
    },
  }));
}

type Check = readonly [name: string, check: (subject: Subject) => Promise<void>];

const contentTests: readonly Check[] = [
  [
    "a new store is durable and empty",
    async (subject) => {
      await subject.open();
      await subject.reopen();
      await subject.close();
    },
  ],
  [
    "has all committed records after it was closed and opened again",
    async (subject) => {
      await subject.open();
      await subject.commit([Table.Session, "a", "1"], [Table.Queue, "b", "2"]);
      await subject.reopen();
      await subject.commit([Table.Message, "c", "3"]);
      await subject.commit([Table.Session, "d", "4"]);
      await subject.reopen();
      await subject.close();
    },
  ],
  [
    "keeps the last value of a key",
    async (subject) => {
      await subject.open();
      await subject.commit([Table.Session, "a", "first"], [Table.Session, "b", "first"]);
      await subject.commit([Table.Session, "a", "second, and longer"]);
      await subject.commit([Table.Session, "a", "3rd"]);
      await subject.reopen();
      await subject.commit([Table.Session, "a", "after opening"]);
      await subject.reopen();
      await subject.close();
    },
  ],
  [
    "forgets removed keys, and takes the removal of a key that it does not have",
    async (subject) => {
      await subject.open();
      await subject.commit(
        [Table.Queue, "a", "1"],
        [Table.Queue, "b", "2"],
        [Table.Queue, "c", "3"],
      );
      await subject.commit([Table.Queue, "a", null], [Table.Queue, "never", null]);
      await subject.reopen();
      await subject.commit([Table.Queue, "b", null]);
      await subject.commit([Table.Queue, "b", "again"], [Table.Queue, "c", null]);
      await subject.reopen();
      await subject.close();
    },
  ],
  [
    "tells the tables apart",
    async (subject) => {
      await subject.open();
      await subject.commit(
        ...Object.values(Table).map((table): Change => [table, "k", `${table}`]),
      );
      await subject.commit([Table.Retained, "k", null]);
      await subject.reopen();
      await subject.close();
    },
  ],
  [
    "takes keys of any bytes",
    async (subject) => {
      await subject.open();
      const keys = Array.from({ length: 256 }, (_, byte) => [[byte], [0, byte], [byte, 0, 255]]);
      const changes = keys
        .flat()
        .map((key, n): Change => [Table.Message, Uint8Array.from(key), `${n}`]);
      await subject.commit(...changes);
      await subject.reopen();
      await subject.commit(...changes.filter((_, n) => n % 2 === 0).map(removed));
      await subject.reopen();
      await subject.close();
    },
  ],
  [
    "takes keys of up to 65,539 bytes, and tells long keys apart that begin alike",
    async (subject) => {
      await subject.open();
      const lengths = [1, 254, 255, 256, 511, 1899, 1900, 1901, 1978, 1979, 4096, 65_539];
      const keys = lengths.flatMap((length) => [
        "k".repeat(length),
        `${"k".repeat(length - 1)}x`,
        `y${"k".repeat(length - 1)}`,
      ]);
      // The keys of one byte repeat.
      const changes = [...new Set(keys)].map((key, n): Change => [Table.Subscription, key, n]);
      await subject.commit(...changes);
      await subject.reopen();
      await subject.commit(...changes.filter((_, n) => n % 3 === 0).map(removed));
      await subject.commit(
        ...changes.filter((_, n) => n % 3 === 1).map(([table, key]): Change => [table, key, "new"]),
      );
      await subject.reopen();
      await subject.close();
    },
  ],
  [
    "takes empty values, and values of many MiB",
    async (subject) => {
      await subject.open();
      await subject.commit([Table.Will, "empty", ""], [Table.Message, "large", 16 * MIB]);
      for (const bytes of [4095, 4096, 65_536, 65_537, MIB, 5 * MIB]) {
        await subject.commit([Table.Message, `of ${bytes}`, bytes]);
      }
      await subject.reopen();
      // From large to small, from small to large, and away.
      await subject.commit([Table.Message, "large", 10], [Table.Will, "empty", 3 * MIB]);
      await subject.commit([Table.Message, `of ${MIB}`, null], [Table.Message, "of 4096", ""]);
      await subject.reopen();
      await subject.close();
    },
  ],
  [
    "takes batch after batch, while records come and go",
    async (subject) => {
      await subject.open();
      for (let n = 0; n < 200; n++) {
        await subject.commit(
          [Table.Queue, `${n % 7}`, `${n}`],
          [Table.Message, `${n}`, n * 50],
          [Table.Message, `${n - 10}`, null],
        );
      }
      await subject.reopen();
      await subject.close();
    },
  ],
];

function largeBatchTest(recordCount: number): Check {
  return [
    `takes ${recordCount} records in one batch, and gives each once`,
    async (subject) => {
      await subject.open();
      const changes = Array.from(
        { length: recordCount },
        (_, n): Change => [Table.Queue, `${n}`, `value ${n}`],
      );
      await subject.commit(...changes);
      await subject.reopen();
      await subject.commit(...changes.slice(100).map(removed));
      await subject.reopen();
      await subject.close();
    },
  ];
}

const readTests: readonly Check[] = [
  [
    "reads messages by number as soon as they are stored, if it has `read`",
    async (subject) => {
      await subject.open();
      if (subject.hasRead) {
        const lengths = [0, 1, 100, 5000, 100_000, 3 * MIB];
        await subject.commit(...lengths.map((bytes, n) => message(n + 1, bytes)));
        await subject.commit(
          [Table.Queue, messageKey(7), "not a message"],
          message(2 ** 53 - 1, 77),
        );
        const all = lengths.map((bytes, n) => [n + 1, bytes] as const);
        await subject.read([...all].reverse());
        await subject.read([
          [7, null],
          [3, 100],
          [2 ** 53 - 1, 77],
          [3, 100],
          [8, null],
        ]);
        await subject.read([]);
        await subject.commit(message(3, null));
        await subject.read([
          [3, null],
          [4, 5000],
        ]);
        await subject.reopen();
        await subject.read([
          [3, null],
          [6, 3 * MIB],
          [1, 0],
        ]);
      }
      await subject.close();
    },
  ],
  [
    "reads messages while a batch is being stored, if it has `read`",
    async (subject) => {
      await subject.open();
      if (subject.hasRead) {
        await subject.commit(message(1, 300), message(2, 5000));
        const reads: Promise<void>[] = [];
        for (let n = 3; n < 30; n++) {
          const storing = subject.commit(message(n, n), message(n - 3, null));
          // Both are there before the batch and after it.
          reads.push(subject.read([n === 3 ? [2, 5000] : [n - 1, n - 1]]));
          await storing;
        }
        await Promise.all(reads);
      }
      await subject.close();
    },
  ],
];

const crashTests: readonly Check[] = [
  [
    "has everything after a crash whose commit had resolved",
    async (subject) => {
      await subject.open();
      for (let n = 0; n < 20; n++) {
        await subject.commit([Table.Message, `${n}`, 2000 * n], [Table.Session, "s", `${n}`]);
        await subject.commit([Table.Message, `${n - 3}`, null]);
        await subject.crash();
        await subject.open();
      }
      await subject.close();
    },
  ],
  [
    "has a batch as a whole or not at all after a crash during its commit",
    async (subject) => {
      await subject.open();
      for (let n = 0; n < 20; n++) {
        const changes: Change[] = [];
        for (let i = 0; i < 50; i++) changes.push([Table.Queue, `${i}`, `${n}`]);
        changes.push([Table.Message, `${n}`, 100_000], [Table.Message, `${n - 1}`, null]);
        subject.begin(...changes);
        // At another point of the commit each time.
        for (let tick = 0; tick < n; tick++) await Promise.resolve();
        await subject.crash();
        await subject.openEither(changed(subject.expected, changes));
      }
      await subject.close();
    },
  ],
];

/** Fills the store, and commits changes that have no room any more; returns them. */
async function rejectedByFullStore(subject: Subject): Promise<readonly Change[]> {
  const changes: readonly Change[] = [
    [Table.Session, "a", "2"],
    [Table.Message, "m", null],
    [Table.Message, "n", 4 * MIB],
  ];
  await subject.open();
  await subject.commit([Table.Session, "a", "1"], [Table.Message, "m", 1000]);
  await subject.setFull(true);
  await rejects(subject.commit(...changes));
  return changes;
}

const fullTests: readonly Check[] = [
  [
    "rejects a commit for which there is no room, keeps what it has, and takes the same batch later",
    async (subject) => {
      const changes = await rejectedByFullStore(subject);
      await subject.setFull(false);
      await subject.commit(...changes);
      await subject.reopen();
      await subject.close();
    },
  ],
  [
    "has a batch as a whole or not at all after its commit was rejected",
    async (subject) => {
      const changes = await rejectedByFullStore(subject);
      await subject.close();
      await subject.setFull(false);
      await subject.openEither(changed(subject.expected, changes));
      await subject.close();
    },
  ],
];

const volatileTests: readonly Check[] = [
  [
    "takes batches, and is not durable and empty whenever it is opened",
    async (subject) => {
      for (let n = 0; n < 2; n++) {
        await subject.openVolatile();
        await subject.commit([Table.Session, "a", "1"], [Table.Message, "m", 5 * MIB]);
        await subject.commit([Table.Session, "a", null], [Table.Queue, "never", null]);
        await subject.close();
      }
    },
  ],
];

function message(number: number, bytes: number | null): Change {
  return [Table.Message, messageKey(number), bytes];
}

function removed([table, key]: Change): Change {
  return [table, key, null];
}

async function rejects(commit: Promise<void>): Promise<void> {
  const isRejected = await commit.then(
    () => false,
    () => true,
  );
  if (!isRejected) throw new Error("a commit resolved though there was no room for it");
}

const MIB = 1024 * 1024;
