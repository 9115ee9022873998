// The broker in a worker, with a store: sessions and messages are there when the page is loaded again.
import { openLocalBroker } from "sansmq/local";
import { openIndexedDbStore } from "sansmq/storage/indexeddb";

const opening = openIndexedDbStore("my-broker").then((store) => openLocalBroker({ store }));

// A page may send its port before the store is open.
addEventListener("message", async ({ ports: [port] }) => (await opening).servePort(port));
