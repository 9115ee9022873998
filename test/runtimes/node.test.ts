/** The transports of Node's adapter, on every version of Node. */
import { transportSuite } from "../adapters/suite.ts";
import { describeOn, runtimes, spawnBroker } from "../support/runtimes.ts";

const own = `Node ${process.versions.node.split(".")[0]}`;
/** The version that runs the tests has test/adapters/node.test.ts. */
const others = Object.keys(runtimes).filter((name) => name.startsWith("Node ") && name !== own);

describeOn(others, (name) => {
  transportSuite({ start: (limits = {}) => spawnBroker(name, { limits }) });
});
