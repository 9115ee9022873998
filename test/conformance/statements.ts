/**
 * Every normative statement of MQTT 3.1.1 (`MQTT311-…`) and 5.0 (`MQTT-…`): the matrix for the report, the coverage
 * test and the citations in the code.
 */
import type { StatementRow } from "./statements/row.ts";
import { statements5 } from "./statements/v5.ts";
import { statements311 } from "./statements/v311.ts";

export interface Statement {
  /** `MQTT-3.1.2-1`, `MQTT311-3.1.2-1`. */
  readonly id: string;
  readonly version: 4 | 5;
  readonly binds: "server" | "client" | "both";
  readonly asks: string;
  /** Why the statement has no case; null: it must have one. */
  readonly unseen: string | null;
}

export const statements: readonly Statement[] = [
  ...statements311.map((row) => statement("MQTT311", 4, row)),
  ...statements5.map((row) => statement("MQTT", 5, row)),
];

export const statementIds: ReadonlySet<string> = new Set(statements.map(({ id }) => id));

/** The statements that a text cites in brackets. */
export function citedIn(text: string): string[] {
  return Array.from(text.matchAll(/\[(MQTT(?:311)?-[\d.]+-\d+)\]/g), (match) => match[1]!);
}

function statement(prefix: string, version: 4 | 5, row: StatementRow): Statement {
  const [number, binds, asks, unseen] = row;
  const reason = unseen ?? (binds === "client" ? "binds the client" : null);
  return { id: `${prefix}-${number}`, version, binds, asks, unseen: reason };
}
