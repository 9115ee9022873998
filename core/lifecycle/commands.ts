/** Applies the commands of the host program. */
import type { Command } from "../boundary.ts";
import { Stage } from "../connection/connection.ts";
import type { BrokerContext } from "../context.ts";
import { Counter } from "../observe/counters.ts";
import { publishCommand } from "../publishing/publish-command.ts";
import { Reason } from "../reason.ts";
import { endConnection } from "./transitions.ts";

/** Throws ConfigError for a publish that no client could send. */
export function handleCommand(context: BrokerContext, command: Command): void {
  switch (command.kind) {
    case "publish":
      publishCommand(context, command);
      break;
    case "kick": {
      const slot = context.sessions.find(command.clientId)?.connSlot ?? 0;
      if (slot === 0) return;
      endConnection(context, context.connections[slot]!, "commanded", command.reason);
      break;
    }
    case "observe":
      context.events.observesPublishes = command.publishes;
      break;
    case "move":
      moveClients(context, command.reference, command.isForGood);
      break;
    case "memory":
      context.counters[Counter.hostMemoryBytes] = command.bytes;
      break;
    case "shutdown":
      shutDown(context);
  }
}

function shutDown(context: BrokerContext): void {
  context.isShuttingDown = true;
  for (const connection of context.connections) {
    if (connection === null || connection.stage >= Stage.Closing) continue;
    endConnection(context, connection, "shutDown", Reason.ServerShuttingDown);
  }
}

function moveClients(context: BrokerContext, reference: string | null, isForGood: boolean): void {
  context.serverReference = reference;
  context.isMovedForGood = isForGood;
  if (reference === null) return;
  const reason = isForGood ? Reason.ServerMoved : Reason.UseAnotherServer;
  for (const connection of context.connections) {
    if (connection === null || connection.session === null) continue;
    endConnection(context, connection, "commanded", reason);
  }
}
