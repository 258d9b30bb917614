"""Lets each service try what it may do and what it may not: service_probe.py TOPOLOGY BOOTSTRAP CA < passwords as JSON.

A service reads the topics that it consumes, and is refused a topic that is not its own, for reading and for writing. A
wrong password and a connection without TLS are refused too. Nothing is written and no offset is committed. Exit 1 if
anything is otherwise.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

PATIENCE = 20.0
WRONG = "not-the-password"
DENIED = KafkaError.TOPIC_AUTHORIZATION_FAILED


def reads(client: dict[str, Any], topic: str) -> str:
    """Read from a topic's first partition; `allowed`, `denied` or what else happened."""
    seen: list[str] = []
    consumer = Consumer(
        client
        | {
            "group.id": client.get("sasl.username", "nobody"),
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "error_cb": lambda error: seen.append(error.str()),
        }
    )
    try:
        # Without any right on a topic even its description is refused; a fetch would only stay silent then.
        if "sasl.username" in client and client["sasl.password"] != WRONG:
            about = consumer.list_topics(topic, timeout=PATIENCE).topics[topic].error
            if about is not None and about.code() == DENIED:
                return "denied"
        consumer.assign([TopicPartition(topic, 0, 0)])
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            message = consumer.poll(0.2)
            if message is None:
                if any("uthentication failed" in line for line in seen):
                    return "wrong password"
                if any("brokers are down" in line for line in seen):
                    return "no connection"
                continue
            error = message.error()
            if error is None or error.code() in (KafkaError._PARTITION_EOF, KafkaError._AUTO_OFFSET_RESET):  # noqa: SLF001
                return "allowed"
            if error.code() == DENIED:
                return "denied"
            seen.append(error.str())
        return f"nothing in {PATIENCE:.0f} s; {seen[-1:]}"
    finally:
        consumer.close()


def writes(client: dict[str, Any], topic: str) -> str:
    """Write to a topic that must refuse it; `denied` or what else happened."""
    outcome: list[str] = []
    producer = Producer(client | {"message.timeout.ms": int(PATIENCE * 1000)})

    def told(error: KafkaError | None, _message: object) -> None:
        outcome.append("allowed" if error is None else "denied" if error.code() == DENIED else error.str())

    producer.produce(topic, b"probe", on_delivery=told)
    producer.flush(PATIENCE + 5)
    return outcome[0] if outcome else "nothing"


def main() -> int:
    """Try everything, print a line each."""
    topology = yaml.safe_load(Path(sys.argv[1]).read_text(encoding="utf-8"))
    passwords = json.load(sys.stdin)
    common = {
        "bootstrap.servers": sys.argv[2],
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "ssl.ca.location": sys.argv[3],
        "log_level": 0,
    }
    good = True

    def check(what: str, found: str, expected: str) -> None:
        nonlocal good
        good = good and found == expected
        print(f"{'ok ' if found == expected else 'BAD'} {what}: {found}", flush=True)

    wrong = ""
    for user, service in topology["services"].items():
        client = common | {"sasl.username": user, "sasl.password": passwords[user]}
        consumes, produces = service.get("consumes", []), service.get("produces", [])
        own = {*consumes, *produces, service.get("state"), service.get("progress"), topology["dead_letters"]}
        foreign = next(topic for topic in topology["topics"] if topic not in own)
        if consumes:
            check(f"{user} reads {consumes[0]}", reads(client, consumes[0]), "allowed")
            wrong = consumes[0]
        check(f"{user} reads {foreign}", reads(client, foreign), "denied")
        check(f"{user} writes {foreign}", writes(client, foreign), "denied")
    name = next(iter(topology["services"]))
    false_one = common | {"sasl.username": name, "sasl.password": WRONG}
    check(f"{name} with a wrong password", reads(false_one, wrong), "wrong password")
    plain = {"bootstrap.servers": sys.argv[2], "security.protocol": "PLAINTEXT", "log_level": 0}
    check("a client without TLS", reads(plain, wrong), "no connection")
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KafkaException as error:
        sys.exit(f"error: {error}")
