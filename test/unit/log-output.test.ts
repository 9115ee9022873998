/** The log's output on sinks that accept all bytes, a part of them, or none. */
import { describe, expect, test } from "vitest";
import { LogOutput, type LogSink } from "../../adapters/cli/log-output.ts";
import { RateLimit } from "../../adapters/cli/rate-limit.ts";

const full = Object.assign(new Error("full"), { code: "EAGAIN" });
const gone = Object.assign(new Error("gone"), { code: "EPIPE" });
const lost = (count: number) => `lost ${count}\n`;

/** A sink that keeps the bytes that it accepts; `take` decides how many bytes of each write. */
class Sink implements LogSink {
  #bytes = Buffer.alloc(0);
  readonly writes: number[] = [];
  take: (length: number) => number = (length) => length;
  #wake: (() => void) | null = null;

  write(bytes: Uint8Array): number {
    const count = this.take(bytes.length);
    this.#bytes = Buffer.concat([this.#bytes, bytes.subarray(0, count)]);
    this.writes.push(count);
    this.#wake?.();
    return count;
  }

  writeNow(bytes: Uint8Array): number {
    return this.write(bytes);
  }

  get text(): string {
    return this.#bytes.toString();
  }

  async has(text: string): Promise<void> {
    while (!this.text.includes(text)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

test("writes the lines of one turn at once", async () => {
  const sink = new Sink();
  const output = new LogOutput(sink, lost);
  for (let n = 0; n < 1000; n++) output.push(`line ${n}\n`);
  expect(sink.writes).toEqual([]);
  await sink.has("line 999\n");
  expect(sink.writes).toHaveLength(1);
  output.push("later\n");
  await sink.has("later\n");
  expect(sink.writes).toHaveLength(2);
});

test("collects the lines of several turns after a write", async () => {
  const sink = new Sink();
  const output = new LogOutput(sink, lost);
  const began = performance.now();
  for (let n = 0; n < 300; n++) {
    output.push(`line ${n}\n`);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await sink.has("line 299\n");
  // Two writes are 20 milliseconds apart; a timer may fire up to a millisecond early.
  const most = (performance.now() - began) / 18 + 2;
  expect(sink.writes.length).toBeLessThan(most);
});

test("a sink that accepts a part of a write receives the rest later, in order and without repetition", async () => {
  const sink = new Sink();
  const output = new LogOutput(sink, lost);
  let writes = 0;
  sink.take = (length) => {
    if (writes++ % 2 === 1) throw full;
    return Math.min(length, 7);
  };
  const lines = Array.from({ length: 10 }, (_, n) => `é line ${n}\n`).join("");
  output.push(lines);
  await sink.has("line 9\n");
  expect(sink.text).toBe(lines);
});

describe("a reader that takes no bytes", () => {
  test("costs bounded memory; lines beyond the bound are counted, and the count is logged when the reader resumes", async () => {
    const sink = new Sink();
    const output = new LogOutput(sink, lost);
    sink.take = () => {
      throw full;
    };
    const line = `${"x".repeat(1023)}\n`;
    for (let n = 0; n < 2000; n++) output.push(line);
    output.push("the last of all\n", true);
    await new Promise((resolve) => setImmediate(resolve));
    sink.take = (length) => length;
    await sink.has("lost 976\n");
    expect(sink.text).toBe(`${line.repeat(1024)}the last of all\n${lost(976)}`);
  });

  test("and then closes loses the waiting lines, and the next reader learns their number", async () => {
    const sink = new Sink();
    const output = new LogOutput(sink, lost);
    let hasGone: () => void = () => {};
    const went = new Promise<void>((resolve) => {
      hasGone = resolve;
    });
    sink.take = () => {
      hasGone();
      throw gone;
    };
    output.push("a\n");
    output.push("b\n");
    await went;
    sink.take = (length) => length;
    output.push("c\n");
    await sink.has("c\n");
    expect(sink.text).toBe("c\nlost 2\n");
  });

  test("does not delay the end of the process", async () => {
    const sink = new Sink();
    const output = new LogOutput(sink, lost);
    sink.take = () => {
      throw full;
    };
    output.push("a\n");
    const began = performance.now();
    await output.end(50);
    expect(performance.now() - began).toBeLessThan(250);
    output.push("b\n");
    output.flush();
    const other = new LogOutput(sink, lost);
    other.push("c\n");
    other.flush();
    expect(sink.text).toBe("");
  });
});

describe("at the end of the process, the log", () => {
  test("writes all lines at once, even to a sink that accepts them in parts", () => {
    const sink = new Sink();
    const output = new LogOutput(sink, lost);
    let writes = 0;
    sink.take = (length) => {
      if (writes++ < 3) throw full;
      return Math.min(length, 3);
    };
    output.push("abcdef\n");
    output.push("ghi\n");
    output.flush();
    expect(sink.text).toBe("abcdef\nghi\n");
  });

  test("writes after the lines that a thread is still writing, without repetition", async () => {
    const sink = new Sink();
    const written: string[] = [];
    const taken: ((count: number) => void)[] = [];
    const slow: LogSink = {
      write: (bytes) => {
        written.push(new TextDecoder().decode(bytes));
        return new Promise((resolve) => taken.push(resolve));
      },
      writeNow: (bytes) => sink.write(bytes),
    };
    const output = new LogOutput(slow, lost);
    output.push("first\n");
    await new Promise((resolve) => setImmediate(resolve));
    output.push("second\n");
    output.flush();
    expect([written, sink.text]).toEqual([["first\n"], "second\n"]);
  });

  test("waits, at a regular end, until all lines are written", async () => {
    const written: string[] = [];
    const slow: LogSink = {
      write: (bytes) => {
        written.push(new TextDecoder().decode(bytes));
        return new Promise((resolve) => setImmediate(resolve, bytes.length));
      },
      writeNow: () => 0,
    };
    const output = new LogOutput(slow, lost);
    output.push("first\n");
    await new Promise((resolve) => setImmediate(resolve));
    output.push("second\n");
    const ended = output.end(5000);
    output.push("after the last\n");
    await ended;
    expect(written).toEqual(["first\n", "second\n"]);
  });
});

describe("a rate limit", () => {
  const limited = () => {
    const told: number[] = [];
    let endMinute: () => void = () => {};
    const limit = new RateLimit(
      (count) => told.push(count),
      (run) => {
        endMinute = run;
        return 0;
      },
    );
    const asks = (key: string, times: number): number =>
      Array.from({ length: times }, () => limit.allows(key)).filter((isAllowed) => isAllowed)
        .length;
    return { told, limit, asks, endMinute: () => endMinute() };
  };

  test("passes ten lines a minute for each client, and logs how many lines were left out", () => {
    const { told, asks, endMinute } = limited();
    expect([asks("a", 25), asks("b", 3)]).toEqual([10, 3]);
    endMinute();
    expect([asks("a", 9), asks("b", 11)]).toEqual([9, 10]);
    endMinute();
    expect(asks("a", 5)).toBe(5);
    endMinute();
    expect(told).toEqual([15, 1]);
  });

  test("counts each of very many clients separately", () => {
    const { asks } = limited();
    for (let n = 0; n < 1020; n++) expect(asks(`client ${n}`, 12)).toBe(10);
    expect(asks("one more", 12)).toBe(10);
    expect(asks("client 5", 1)).toBe(0);
  });

  test("remembers ten thousand clients, and forgets the client with the oldest line first", () => {
    const { asks } = limited();
    expect([asks("loud", 10), asks("quiet", 10)]).toEqual([10, 10]);
    for (let n = 0; n < 9_998; n++) asks(`client ${n}`, 1);
    expect(asks("loud", 1)).toBe(0);
    expect(asks("one more", 1)).toBe(1);
    expect([asks("loud", 1), asks("quiet", 1)]).toEqual([0, 1]);
  });

  test("passes twenty thousand lines a minute about all clients together", () => {
    const { told, asks, endMinute } = limited();
    let count = 0;
    for (let n = 0; n < 30_000; n++) count += asks(`client ${n}`, 1);
    expect(count).toBe(20_000);
    endMinute();
    expect(told).toEqual([10_000]);
    expect(asks("client 29999", 1)).toBe(1);
  });

  test("logs at the end of the process, once, how many lines were left out", () => {
    const { told, limit, asks, endMinute } = limited();
    asks("a", 25);
    limit.end();
    limit.end();
    endMinute();
    expect(told).toEqual([15]);
  });
});
