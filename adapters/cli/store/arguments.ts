/** The arguments of `sansmq store`. */
import { CommanderError, newCommand } from "../arguments.ts";

export type StoreArguments =
  | { readonly command: "verify"; readonly folder: string }
  | { readonly command: "export"; readonly folder: string; readonly file: string | null }
  | { readonly command: "import"; readonly folder: string; readonly file: string }
  | { readonly command: "import"; readonly folder: string; readonly mosquittoDb: string }
  | { readonly command: "backup"; readonly folder: string; readonly to: string }
  | { readonly command: "compact"; readonly folder: string };

type Command = ReturnType<typeof newCommand>;

/** Prints help or the version and exits, or returns the arguments. Throws CommanderError for a wrong one. */
export function parseStoreArguments(argv: readonly string[], version: string): StoreArguments {
  const result: { given: StoreArguments | null } = { given: null };
  const sub = (name: StoreArguments["command"], description: string): Command =>
    newCommand(name, version)
      .description(description)
      .argument("<folder>", "the folder of the store");
  const command = newCommand("sansmq store", version)
    .description("Looks into the store of a broker, copies it, and moves state into it.")
    .addCommand(
      sub("verify", "Counts what a store contains, and says what is damaged.").action(
        (folder: string) => {
          result.given = { command: "verify", folder };
        },
      ),
    )
    .addCommand(
      sub("export", "Writes what a store contains as lines of JSON.")
        .argument("[file]", "the file to write; - for standard output", "-")
        .action((folder: string, file: string) => {
          result.given = { command: "export", folder, file: file === "-" ? null : file };
        }),
    )
    .addCommand(
      sub("import", "Makes a store of the lines of an export, or of mosquitto's persistence file.")
        .usage(
          "[options] <folder> <file>\n       sansmq store import <folder> --mosquitto-db <file>",
        )
        .argument("[file]", "an export; - for standard input")
        .option("--mosquitto-db <file>", "the persistence file of mosquitto 1.6 or 2, mosquitto.db")
        .action((folder: string, file: string | undefined, options: { mosquittoDb?: string }) => {
          result.given = importArguments(folder, file, options.mosquittoDb);
        }),
    )
    .addCommand(
      sub("backup", "Copies a store as of now, also while a broker uses it.")
        .argument("<to>", "the new folder for the copy")
        .action((folder: string, to: string) => {
          result.given = { command: "backup", folder, to };
        }),
    )
    .addCommand(
      sub("compact", "Gives the unused space of a store back to the system.").action(
        (folder: string) => {
          result.given = { command: "compact", folder };
        },
      ),
    )
    .helpCommand(false);
  if (argv.length === 0) throw fault(`missing command: ${names(command)}`);
  command.parse(argv, { from: "user" });
  if (result.given === null) throw fault(`missing command: ${names(command)}`);
  return result.given;
}

function importArguments(
  folder: string,
  file: string | undefined,
  mosquittoDb: string | undefined,
): StoreArguments {
  if (file !== undefined && mosquittoDb !== undefined) {
    throw fault("import takes a file or --mosquitto-db, and not both");
  }
  if (mosquittoDb !== undefined) return { command: "import", folder, mosquittoDb };
  if (file === undefined) throw fault("missing file: that of an export, or --mosquitto-db <file>");
  return { command: "import", folder, file };
}

function names(command: Command): string {
  return command.commands.map((one) => one.name()).join(", ");
}

function fault(message: string): CommanderError {
  return new CommanderError(2, "sansmq.store", message);
}
