/**
 * The command: `npm run conformance -- --target mqtt://host:port`. Runs the cases against any broker, prints
 * the result, and exits with 1 if a case failed.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { cases } from "./cases.ts";
import type { Result } from "./harness.ts";
import { networkTarget } from "./network-target.ts";
import { makeReport, renderReport, titleOf } from "./report.ts";
import { runCases } from "./runner.ts";

const help = `Usage: npm run conformance -- --target mqtt://host:port [options]

Tests a broker against the statements of the MQTT 3.1.1 and 5.0 specifications.

  --target <url>      mqtt://host:port, or ws://host:port/path
  --version <n>       4 (MQTT 3.1.1) or 5 (MQTT 5.0); both if not given
  --filter <text>     only cases whose name contains this text, such as MQTT-3.3.4 or "topic alias"
  --username <name>   user that the broker authenticates by SCRAM-SHA-256
  --password <text>   password of that user
  --at-once <n>       how many cases run at once (default: 16)
  --report <file>     writes FILE.md and FILE.json
  --help              prints this
`;

function fail(message: string): never {
  process.stderr.write(`conformance: ${message}\n`);
  process.exit(2);
}

function options() {
  try {
    return parseArgs({
      options: {
        target: { type: "string" },
        version: { type: "string" },
        filter: { type: "string" },
        username: { type: "string" },
        password: { type: "string" },
        "at-once": { type: "string", default: "16" },
        report: { type: "string" },
        help: { type: "boolean", default: false },
      },
    }).values;
  } catch (error) {
    return fail((error as Error).message);
  }
}

const values = options();
if (values.help) {
  process.stdout.write(help);
  process.exit(0);
}
const { target: url = "", version, filter = "", username, password = "", report: file } = values;
if (!/^(mqtt|tcp|ws):\/\/[^/]+/.test(url)) {
  fail(`--target: ${JSON.stringify(url)} is not allowed; allowed is mqtt://host:port or ws://…`);
}
if (version !== undefined && version !== "4" && version !== "5") {
  fail(`--version: ${JSON.stringify(version)} is not allowed; allowed is 4 or 5`);
}
const atOnce = Number(values["at-once"]);
if (!Number.isInteger(atOnce) || atOnce < 1) {
  fail(
    `--at-once: ${JSON.stringify(values["at-once"])} is not allowed; allowed is a number from 1`,
  );
}
const versions = version === undefined ? [4, 5] : [Number(version)];
const chosen = cases.filter((one) => versions.includes(one.version) && one.name.includes(filter));
const user = username === undefined ? null : { name: username, password };
const target = networkTarget({ url, user });

await target.connect().then(
  (transport) => transport.cut(),
  (error: Error) => fail(`--target: ${url} can not be reached: ${error.message}`),
);
const results = await runCases(target, {
  cases: chosen,
  atOnce,
  handleResult(result: Result, done: number) {
    if (process.stderr.isTTY) process.stderr.write(`\r${done} of ${chosen.length} `);
    if (result.verdict !== "failed") return;
    const name = result.version === 5 ? "5.0" : "3.1.1";
    process.stdout.write(`failed: ${name} ${titleOf(result.name)}: ${result.why}\n`);
  },
});
const report = makeReport(url, results, versions);
if (file !== undefined) {
  const base = file.replace(/\.(md|json)$/, "");
  const command = `npm run conformance -- --target ${url}${version === undefined ? "" : ` --version ${version}`}`;
  writeFileSync(`${base}.md`, renderReport(report, command));
  writeFileSync(`${base}.json`, `${JSON.stringify(report, null, 1)}\n`);
}
const { passed, failed, notSupported } = report;
process.stdout.write(`${passed} passed, ${failed} failed, ${notSupported} not supported\n`);
process.exit(failed > 0 ? 1 : 0);
