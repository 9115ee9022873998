// The page of the tests of the store in IndexedDB: a broker in the page, and functions that tests call. As a worker or a
// service worker it opens a store when it gets a message, and answers what came of it.
import { openLocalBroker } from "sansmq/local";
import { openIndexedDbStore } from "sansmq/storage/indexeddb";
import { storeSuite } from "sansmq/storage/testing";

let broker = null;
let store = null;

/** Opens the store; "opened", or the name and the message of the error. */
async function opening(name, options) {
  try {
    store = await openIndexedDbStore(name, options);
    return "opened";
  } catch (error) {
    return `${error.name}: ${error.message}`;
  }
}

const reader = { clientId: "reader", cleanStart: false, sessionExpirySeconds: 3600 };

globalThis.page = {
  opening,
  close: () => store.close(),

  async openBroker(name) {
    store = await openIndexedDbStore(name);
    broker = await openLocalBroker({ store });
  },

  closeBroker: () => broker.close(),

  /** Makes the session of a client that is away. */
  async subscribeAndLeave(filter) {
    const client = await broker.connect(reader);
    await client.subscribe(filter, { qos: 2 });
    await client.disconnect();
  },

  async publish(topic, payload, options) {
    const client = await broker.connect();
    await client.publish(topic, payload, options);
    await client.disconnect();
  },

  /** Publishes without an end, and says each acknowledgement. */
  async publishOn() {
    const clients = [await broker.connect(), await broker.connect()];
    const publish = async (client, qos) => {
      for (let n = 1; ; n++) {
        await client.publish(`load/${qos}`, `${n}`, { qos });
        console.log(`acknowledged ${qos} ${n}`);
      }
    };
    void publish(clients[0], 1);
    void publish(clients[1], 2);
  },

  /** The messages that the client that was away gets, as `topic payload qos`. */
  async received(lastTopic) {
    const client = await broker.connect(reader);
    const messages = [];
    const last = new Promise((resolve) => {
      client.onMessage(({ topic, payload, qos }) => {
        messages.push(`${topic} ${new TextDecoder().decode(payload)} q${qos}`);
        if (topic === lastTopic) resolve();
      });
    });
    // Behind those that wait for the client.
    await page.publish(lastTopic, "", { qos: 2 });
    await last;
    await client.disconnect();
    return messages.filter((message) => !message.startsWith(`${lastTopic} `));
  },

  async retained(filter) {
    const client = await broker.connect();
    const subscription = await client.subscribe(filter);
    const { value } = await subscription.next();
    await client.disconnect();
    return `${value.topic} ${new TextDecoder().decode(value.payload)}`;
  },

  /** The tests of the suite for stores that fail, with the messages; and how many pass. */
  async suite(recordCount) {
    let count = 0;
    const tests = storeSuite({
      recordCount,
      create: () => `suite ${count++}`,
      open: (name) => openIndexedDbStore(name),
    });
    const failed = [];
    for (const { name, run } of tests) {
      await run().catch((error) => failed.push(`${name}: ${error.name} ${error.message}`));
    }
    return { failed, passed: tests.length - failed.length };
  },

  /** A commit of a record with a value of so many bytes; "stored", or the name and the message of the error. */
  async committing(bytes) {
    const value = new Uint8Array(bytes);
    // The browser would compress zeros.
    for (let at = 0; at < bytes; at += 65_536) {
      crypto.getRandomValues(value.subarray(at, at + 65_536));
    }
    const records = {
      table: 2,
      key: new Uint8Array([1]),
      value,
      isOver: false,
      next() {
        const hasOne = !this.isOver;
        this.isOver = true;
        return hasOne;
      },
    };
    const batch = { count: 1, firstSeq: 1, lastSeq: 1, records: () => records };
    try {
      await store.commit(batch);
      return "stored";
    } catch (error) {
      return `${error.name}: ${error.message}`;
    }
  },

  /** What a worker says that opens a store. */
  inWorker(name) {
    const worker = new Worker("/page.js", { type: "module" });
    worker.postMessage(name);
    return new Promise((resolve) => {
      worker.onmessage = ({ data }) => resolve(data);
    });
  },

  async inServiceWorker(name) {
    await navigator.serviceWorker.register("/page.js", { type: "module" });
    const { active } = await navigator.serviceWorker.ready;
    active.postMessage(name);
    return new Promise((resolve) => {
      navigator.serviceWorker.onmessage = ({ data }) => resolve(data);
    });
  },
};

globalThis.addEventListener("message", async ({ data, source }) => {
  if (typeof document === "undefined") {
    (source ?? globalThis).postMessage(await opening(data, { lockWaitMillis: 0 }));
  }
});
