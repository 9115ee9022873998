/** A row of the tables of statements. */

/** Number, bound party, requirement, and why a statement that binds the server has no case. */
export type StatementRow = readonly [
  number: string,
  binds: "server" | "client" | "both",
  asks: string,
  unseen?: string,
];
