// The command in a process where SIGUSR2 throws what nobody catches.
process.on("SIGUSR2", () => {
  throw new Error("thrown on request");
});
await import("../../dist/adapters/cli/main.js");
