// The application under test: raises an alarm for each sensor that is gone.
export async function raiseAlarms(client) {
  await client.subscribe("sensors/+/gone", { qos: 1 }, async ({ topic }) => {
    const [, sensor] = topic.split("/");
    await client.publish(`alarms/${sensor}`, "no word from it", { qos: 1, retain: true });
  });
}
