/** Tells a store that has no room, which may pass, from one that has failed. */

/**
 * Whether a commit failed for want of room: on the disk, in the quota of the user or of the page, or
 * within the largest size of a file. The same batch may be committed again.
 */
export function isStoreFull(error: unknown): boolean {
  if (typeof error !== "object" || error === null) return false;
  const { code, name, cause } = error as Readonly<Record<string, unknown>>;
  return FULL.has(code) || name === "QuotaExceededError" || isStoreFull(cause);
}

const FULL: ReadonlySet<unknown> = new Set(["ENOSPC", "EDQUOT", "EFBIG"]);
