/** Checks the rules for the durability of topics, which programs and the configuration file have. */
import type { DurabilityRule, Limits } from "../core/mod.ts";
import { ConfigError } from "../core/mod.ts";
import { checkFilter } from "./checks.ts";
import type { Names } from "./options.ts";
import { checkOptions } from "./options.ts";

/** Checks a list of rules. Throws ConfigError. `field` precedes the position of a rule in errors. */
export function checkedDurability(
  field: string,
  value: unknown,
  limits: Limits,
): readonly DurabilityRule[] {
  if (!Array.isArray(value)) throw new ConfigError(field, value, "an array of rules");
  return value.map((rule: unknown, index) => checkedRule(`${field}[${index}]`, rule, limits));
}

function checkedRule(field: string, rule: unknown, limits: Limits): DurabilityRule {
  checkOptions<DurabilityRule>(field, rule, ruleNames);
  const { filter, acknowledge } = rule;
  checkFilter(`${field}.filter`, filter, limits);
  // Messages are published to topics, not to shared subscriptions.
  if (filter.startsWith("$share/")) {
    throw new ConfigError(`${field}.filter`, filter, "a topic filter without $share");
  }
  if (acknowledge !== "stored" && acknowledge !== "received") {
    throw new ConfigError(`${field}.acknowledge`, acknowledge, "stored or received");
  }
  // A copy, because the program may change its own.
  return { filter, acknowledge };
}

const ruleNames: Names<DurabilityRule> = { filter: true, acknowledge: true };
