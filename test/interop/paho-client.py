"""Paho's Python client against a broker: python3 paho-client.py HOST PORT VERSION TRANSPORT. Prints the messages."""
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

host, port, version, transport = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
done = threading.Event()
got = []


def on_message(client, userdata, message):
    line = f"{message.topic} {message.payload.decode()} {message.qos} {int(message.retain)}"
    if version == 5:
        properties = message.properties
        line += f" {properties.ContentType} {properties.UserProperty} {properties.SubscriptionIdentifier}"
    got.append(line)
    if len(got) == 3:
        done.set()


# Paho 2 needs the version of its callbacks, and warns without it.
callbacks = [mqtt.CallbackAPIVersion.VERSION2] if hasattr(mqtt, "CallbackAPIVersion") else []
client = mqtt.Client(*callbacks, client_id="paho", protocol=version, transport=transport)
if transport == "websockets":
    client.ws_set_options(path="/mqtt")
client.on_message = on_message
subscribed = threading.Event()
client.on_subscribe = lambda *_: subscribed.set()
client.connect(host, port)
client.loop_start()
if version == 5:
    options = Properties(PacketTypes.SUBSCRIBE)
    options.SubscriptionIdentifier = 5
    client.subscribe("paho/#", options=mqtt.SubscribeOptions(qos=2), properties=options)
else:
    client.subscribe("paho/#", qos=2)
subscribed.wait(10)
for qos in (0, 1, 2):
    properties = None
    if version == 5:
        properties = Properties(PacketTypes.PUBLISH)
        properties.ContentType = "text"
        properties.UserProperty = [("a", "1"), ("b", "2")]
    client.publish("paho/t", f"m{qos}", qos=qos, properties=properties).wait_for_publish()
done.wait(10)
client.disconnect()
client.loop_stop()
print("\n".join(sorted(got)))
