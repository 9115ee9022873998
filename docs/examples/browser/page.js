// The page: MQTT.js, whose WebSocket is one end of a MessageChannel. The broker in the worker has the other.
import mqtt from "mqtt";
import { portSocket } from "sansmq/local";

const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });

function openSocket() {
  const { port1, port2 } = new MessageChannel();
  worker.postMessage("serve", [port2]);
  return portSocket(port1);
}

// MQTT.js requires an address, but never looks it up.
const client = mqtt.connect("ws://worker", { protocolVersion: 5, createWebsocket: openSocket });

const byId = (id) => document.getElementById(id);
const shownSys = {
  "$SYS/broker/version": "version",
  "$SYS/broker/codec": "codec",
  "$SYS/broker/uptime": "uptime",
  "$SYS/broker/clients/connected": "clients",
  "$SYS/broker/subscriptions/count": "subscriptions",
  "$SYS/broker/retained messages/count": "retained",
  "$SYS/broker/publish/messages/received": "received",
  "$SYS/broker/publish/messages/sent": "sent",
};
const isSys = (topic) => topic.startsWith("$SYS/");

client.on("connect", () => {
  say("connected");
  client.subscribe("$SYS/broker/#");
  subscribe(byId("filter").value, 2);
});
client.on("close", () => say("closed"));
client.on("error", ({ message }) => say(message));
client.on("message", (topic, payload, packet) => {
  if (isSys(topic)) showSys(topic, payload.toString());
  else log(topic, payload.toString(), packet);
});

byId("publish").onsubmit = (event) => {
  event.preventDefault();
  const { topic, payload, qos, retain } = Object.fromEntries(new FormData(event.target));
  client.publish(topic, payload, { qos: Number(qos), retain: retain === "on" }, (error) => {
    if (error) say(error.message);
  });
};

byId("subscribe").onsubmit = (event) => {
  event.preventDefault();
  const { filter, qos } = Object.fromEntries(new FormData(event.target));
  subscribe(filter, Number(qos));
};

function subscribe(filter, qos) {
  client.subscribe(filter, { qos }, (error) => {
    if (error) say(error.message);
    else if (!document.querySelector(`[data-filter="${CSS.escape(filter)}"]`)) addFilter(filter);
  });
}

/** A filter that is subscribed to; pressed, it is no more. */
function addFilter(filter) {
  const button = document.createElement("button");
  button.textContent = filter;
  button.dataset.filter = filter;
  button.title = "Unsubscribe";
  button.onclick = () => client.unsubscribe(filter, () => button.remove());
  byId("filters").append(button);
}

function log(topic, payload, { qos, retain }) {
  const row = byId("log").insertRow(0);
  const time = new Date().toTimeString().slice(0, 8);
  for (const text of [time, topic, payload, retain ? `${qos}, retained` : qos]) {
    row.insertCell().textContent = text;
  }
  if (byId("log").rows.length > 200) byId("log").deleteRow(-1);
}

function showSys(topic, value) {
  const id = shownSys[topic];
  if (id !== undefined) byId(id).textContent = value;
}

function say(text) {
  byId("state").textContent = text;
  byId("state").className = text;
}
