"""Paho's Python client with 20 messages in flight: python3 paho-inflight.py HOST PORT VERSION TRANSPORT. Prints the outcome."""
import sys
import threading

import paho.mqtt.client as mqtt

host, port, version, transport = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
connected = threading.Event()
connections = []


def on_connect(*_):
    connections.append(1)
    connected.set()


# Paho 2 needs the version of its callbacks, and warns without it.
callbacks = [mqtt.CallbackAPIVersion.VERSION2] if hasattr(mqtt, "CallbackAPIVersion") else []
client = mqtt.Client(*callbacks, client_id="paho", protocol=version, transport=transport)
if transport == "websockets":
    client.ws_set_options(path="/mqtt")
client.max_inflight_messages_set(20)
client.on_connect = on_connect
client.connect(host, port)
# Queued before the client runs, so that all messages that may be in flight leave in one write.
published = [client.publish("paho/t", f"{n}", qos=1 + n % 2) for n in range(200)]
client.loop_start()
connected.wait(10)
for info in published:
    info.wait_for_publish()
client.disconnect()
client.loop_stop()
print(f"{sum(info.is_published() for info in published)} published, {len(connections)} connection")
