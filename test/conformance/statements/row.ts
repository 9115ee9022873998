/** A row of the tables of statements. */

/** Number, whom it binds, what it asks, and where it binds the server but can not be seen, why not. */
export type StatementRow = readonly [
  number: string,
  binds: "server" | "client" | "both",
  asks: string,
  unseen?: string,
];
