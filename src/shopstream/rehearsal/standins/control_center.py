"""A stand-in for Confluent Control Center; it is not Control Center, and shows no page of it.

It refuses properties that it does not know, connects with the credentials in it, makes the
topic that Control Center keeps its state in, and answers on the same port: `/` when it has reached the cluster,
`/topics.json`, and `/brokers.json` (the brokers seen, and those whose metrics reporter was heard within two minutes).
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .control_center_properties import PropertiesError, accounts, client, read
from .httpd import Reply, server

_BASE = "confluent.controlcenter."
_HEARD_WITHIN_S = 120.0
_TIMEOUT_S = 20.0


class Cluster:
    """What is known of the brokers; one thread keeps it up to date."""

    def __init__(self, settings: dict[str, str], properties: dict[str, str]) -> None:
        self._settings = settings
        self._metrics_topic = properties.get("confluent.metrics.topic", "_confluent-metrics")
        self._command_topic = properties.get(f"{_BASE}command.topic", "_confluent-command")
        self._replication = int(properties.get(f"{_BASE}command.topic.replication", "3"))
        self.topics: list[str] = []
        self.brokers: list[int] = []
        self.heard: dict[int, float] = {}

    def follow(self) -> None:
        """Connect, make the topic of the state, then watch; ends by an exception only."""
        from confluent_kafka import Consumer
        from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

        admin = AdminClient({**self._settings})
        self._look(admin)
        if self._command_topic not in self.topics:
            topic = NewTopic(self._command_topic, 1, self._replication, config={"cleanup.policy": "compact"})
            admin.create_topics([topic])[self._command_topic].result(_TIMEOUT_S)
        consumer = Consumer(
            {
                **self._settings,
                "group.id": "_confluent-controlcenter-7-9-1-1",
                "auto.offset.reset": "latest",
                "enable.auto.commit": False,
            }
        )
        subscribed = False
        while True:
            self._look(admin)
            if not subscribed and self._metrics_topic in self.topics:
                consumer.subscribe([self._metrics_topic])
                subscribed = True
            until = time.monotonic() + 5
            while time.monotonic() < until:
                for message in consumer.consume(100, 1.0) if subscribed else ():
                    if not message.error():
                        self.hear(message.value())
                if not subscribed:
                    time.sleep(1)

    def _look(self, admin: Any) -> None:
        metadata = admin.list_topics(timeout=_TIMEOUT_S)
        self.topics = sorted(metadata.topics)
        self.brokers = sorted(metadata.brokers)

    def hear(self, value: bytes | None) -> None:
        """Take a record of the metrics reporter; one that is not its own is passed over."""
        try:
            self.heard[int(json.loads(value or b"")["broker"])] = time.monotonic()
        except (ValueError, KeyError, TypeError):
            return

    def reply(self, target: str) -> Reply:
        """The answer to a request."""
        path = urlsplit(target).path
        if not self.brokers:
            return Reply(503, {"message": "the cluster has not been reached yet"})
        if path == "/":
            return Reply(200, b"<!DOCTYPE html><title>Stand-in for Control Center</title>\n", "text/html")
        if path == "/topics.json":
            return Reply(200, {"topics": self.topics})
        if path == "/brokers.json":
            now = time.monotonic()
            reporting = sorted(broker for broker, at in self.heard.items() if now - at < _HEARD_WITHIN_S)
            return Reply(200, {"brokers": self.brokers, "with_metrics": reporting})
        return Reply(404, {"message": "not found"})


def listener(properties: dict[str, str]) -> tuple[str, int]:
    """Where to listen.

    Raises:
        PropertiesError: It is not plain HTTP.
    """
    url = urlsplit(properties.get(f"{_BASE}rest.listeners", "http://0.0.0.0:9021").split(",")[0])
    if url.scheme != "http" or not url.port:
        raise PropertiesError(f"{_BASE}rest.listeners: the stand-in speaks http://host:port only")
    return url.hostname or "0.0.0.0", url.port  # noqa: S104 - as Control Center does


def main() -> None:
    """Run until told to stop."""
    try:
        properties = read(Path(sys.argv[1]))
        login = re.search(r"-Djava\.security\.auth\.login\.config=(\S+)", os.environ.get("CONTROL_CENTER_OPTS", ""))
        who = accounts(properties, Path(login[1]) if login else None)
        cluster = Cluster(client(properties), properties)
        directory = Path(properties.get(f"{_BASE}data.dir", "/var/lib/confluent-control-center"))
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "stand-in").write_text("written by the stand-in for Control Center\n", encoding="utf-8")
        pages = server(listener(properties), cluster.reply, lambda _: who, "Control Center")
    except (PropertiesError, OSError, IndexError) as error:
        sys.exit(f"stand-in for Control Center: {error}")
    threading.Thread(target=pages.serve_forever, daemon=True).start()
    cluster.follow()


if __name__ == "__main__":
    main()
