// The command in a process where SIGUSR2 causes an uncaught exception.
process.on("SIGUSR2", () => {
  throw new Error("thrown on request");
});
await import("../../dist/adapters/cli/main.js");
