// Whether a broker answers: `node healthcheck.mjs [port]` exits 0 once CONNECT gets a CONNACK, whatever it says.
import { connect } from "node:net";

const port = Number(process.argv[2] ?? 1883);
const socket = connect(port, "127.0.0.1", () => {
  // CONNECT of MQTT 3.1.1, a clean session, no client identifier.
  socket.write(Buffer.from("100c00044d5154540402000a0000", "hex"));
});
const end = (message, code) => {
  console.log(message);
  process.exit(code);
};
socket.on("data", (bytes) => {
  if (bytes[0] === 0x20) end("serving", 0);
  end("not an MQTT broker", 1);
});
socket.on("error", (error) => end(error.message, 1));
socket.on("close", () => end("closed without an answer", 1));
setTimeout(() => end("no answer", 1), 2000);
