/** The transports of Node's adapter, on every version of Node. */
import { describe } from "vitest";
import { transportSuite } from "../adapters/suite.ts";
import { runtimes, spawnBroker } from "../support/runtimes.ts";

const own = `Node ${process.versions.node.split(".")[0]}`;
/** The version that runs the tests has test/adapters/node.test.ts. */
const others = Object.keys(runtimes).filter((name) => name.startsWith("Node ") && name !== own);

describe.each(others)("on %s", (name) => {
  transportSuite({ start: (limits = {}) => spawnBroker(name, { limits }) });
});
