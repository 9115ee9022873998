import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    reporters: ["default", "./test/support/reporter.ts"],
    testTimeout: 20_000,
    hookTimeout: 20_000,
    // Two cores: more workers would only make the tests with real processes wait.
    maxWorkers: 2,
  },
});
