// The broker, in a worker. In a SharedWorker, which several tabs reach, the event is "connect" instead of "message".
import { createBareBroker } from "sansmq/local";

const broker = createBareBroker({ limits: { sysMillis: 1000 } });

// The page sends one end of a MessageChannel for each of its clients.
addEventListener("message", ({ ports: [port] }) => broker.servePort(port));
