/** All micro cases. */

import type { MicroCase } from "./case.ts";
import { deliveryCases } from "./delivery.ts";
import { ingestCases } from "./ingest.ts";
import { structureCases } from "./structures.ts";
import { topicCases } from "./topics.ts";

export const allCases: readonly MicroCase[] = [
  ...ingestCases,
  ...topicCases,
  ...deliveryCases,
  ...structureCases,
];
