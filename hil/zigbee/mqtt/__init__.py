"""Zigbee devices behind zigbee2mqtt, reached over MQTT."""
