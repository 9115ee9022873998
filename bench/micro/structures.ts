/** The data-path costs of a session and a connection: outbox and timing wheel. */
import type { Millis } from "../../core/boundary.ts";
import { parseLimits } from "../../core/config.ts";
import { MessagePool } from "../../core/message/message-pool.ts";
import { PublishFields } from "../../core/message/publish-fields.ts";
import { counterNames } from "../../core/observe/counters.ts";
import { DeliveryQueuePool } from "../../core/session/delivery-queue.ts";
import { Outbox } from "../../core/session/outbox.ts";
import { TimingWheel } from "../../core/time/wheel.ts";
import { publishPacket } from "../lib/client.ts";
import type { MicroCase } from "./case.ts";

function queueCase(qos: 0 | 1): MicroCase {
  return {
    name: "queue",
    impl: "ts",
    params: { qos },
    ops: 1000,
    prepare: () => {
      const counters = new Float64Array(counterNames.length);
      const limits = parseLimits();
      const messages = new MessagePool(limits.messageBytesMax, counters);
      const queues = new DeliveryQueuePool();
      const outbox = new Outbox(
        { messages, limits, counters, records: null, queues, pager: null },
        { clientId: "", connSlot: 1, record: null },
      );
      const packet = publishPacket("a/b", Buffer.alloc(16), 0, 0);
      const source = Object.assign(new PublishFields(), {
        ...{ bytes: packet, topicStart: 2, topicEnd: 7, payloadStart: 7, qos },
        payloadEnd: packet.length,
      });
      const message = messages.create(source);
      const bytes = messages.size(message);
      return () => {
        let sum = 0;
        for (let n = 0; n < 1000; n++) {
          outbox.offer(message, bytes, qos, null, false);
          const packetId = outbox.readyPacketId();
          outbox.confirmReadySent();
          if (qos === 1) sum += outbox.openWindow().handlePuback(packetId);
        }
        return sum;
      };
    },
  };
}

const wheel: MicroCase = {
  name: "timing wheel, set and fire",
  impl: "ts",
  params: { timers: 10_000 },
  ops: 10_000,
  prepare: () => {
    const timers = new TimingWheel();
    let now = 0;
    return () => {
      for (let id = 1; id <= 10_000; id++)
        timers.set(id, (now + 1 + ((id * 37) % 60_000)) as Millis);
      now += 60_000;
      let fired = 0;
      while (timers.poll(now as Millis) >= 0) fired++;
      return fired;
    };
  },
};

export const structureCases: readonly MicroCase[] = [queueCase(0), queueCase(1), wheel];
