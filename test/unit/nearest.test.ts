import { expect, test } from "vitest";
import { limitNames, nearest } from "../../core/mod.ts";

const known = [
  "host",
  "port",
  "path",
  "users",
  "authenticate",
  "authorizePublish",
  "authorizeSubscribe",
];

test.each([
  ["autenticate", "authenticate"],
  ["authentciate", "authenticate"],
  ["Authenticate", "authenticate"],
  ["user", "users"],
  ["hots", "host"],
  ["paths", "path"],
  ["authorizePublsh", "authorizePublish"],
  ["authorisePublish", "authorizePublish"],
  ["publishAuthorize", "authorizePublish"],
  ["authorize_publish", "authorizePublish"],
  ["authorizeSub", "authorizeSubscribe"],
  ["portNumber", "port"],
])("%s is nearest to %s", (name, meant) => {
  expect(nearest(name, known)).toBe(meant);
});

test.each(["", "x", "auth", "authorize", "tls", "id", "\0", "__proto__", "x".repeat(10_000)])(
  "%j is too different from every option",
  (name) => {
    expect(nearest(name, known)).toBe(null);
  },
);

test("finds a limit by the words of its flag", () => {
  expect(nearest("maxPacketByte", limitNames)).toBe("packetBytesMax");
  expect(nearest("max-connections", limitNames)).toBe("connectionsMax");
});
