import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    reporters: ["default", "./test/support/reporter.ts"],
    // Generous, for a slow or busy machine: no test waits for it.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Two cores: more workers would only make the tests with real processes wait.
    maxWorkers: 2,
  },
});
