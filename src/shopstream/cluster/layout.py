"""What a cluster keeps from start to start: its id, its brokers and their ports."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import asdict, dataclass

from shopstream.cluster import ports
from shopstream.errors import UsageError

DEFAULT_PORT = 9094
SIZES = (1, 3)
_HIDDEN = 10
"""How far above the first client port the brokers' own ports begin."""


@dataclass(frozen=True)
class Node:
    """One broker, which is a controller as well, and the loopback ports that it listens on."""

    id: int
    client_port: int
    internal_port: int
    controller_port: int

    @property
    def address(self) -> str:
        """Where clients connect to this broker."""
        return f"127.0.0.1:{self.client_port}"


@dataclass(frozen=True)
class Layout:
    """A cluster.

    Attributes:
        cluster_id: Kafka's id of it; data directories refuse any other.
        nodes: The brokers, ids from 1.
    """

    cluster_id: str
    nodes: tuple[Node, ...]

    @property
    def port(self) -> int:
        """The first broker's port for clients; the others follow it."""
        return self.nodes[0].client_port

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect: `host:port`, separated by commas."""
        return ",".join(node.address for node in self.nodes)

    def to_json(self) -> str:
        """As kept in the state directory."""
        return json.dumps(asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """Read what `to_json` wrote.

        Raises:
            ValueError: The text is something else.
        """
        try:
            raw = json.loads(text)
            layout = cls(str(raw["cluster_id"]), tuple(Node(**node) for node in raw["nodes"]))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a cluster's layout: {error!r}") from error
        if len(layout.nodes) not in SIZES:
            raise ValueError(f"a cluster of {len(layout.nodes)} brokers")
        return layout


def agree(known: Layout | None, *, brokers: int | None, port: int | None, running: bool, data: bool) -> Layout:
    """Bring together what is remembered and what is asked for.

    Args:
        known: The remembered layout, if there is one.
        brokers: How many brokers are asked for; None for as many as there are, or one.
        port: The first client port that is asked for; None for the one that is remembered, or 9094.
        running: Whether a broker runs; then no port can change.
        data: Whether there are records; then the number of brokers cannot change.

    Raises:
        UsageError: What is asked for cannot be had, with the remedy.
    """
    if brokers is not None and brokers not in SIZES:
        raise UsageError(f"a cluster of {brokers} brokers is not supported: choose 1 or 3")
    if port is not None and not 1024 <= port <= ports.LAST - _HIDDEN - 2 * max(SIZES):
        raise UsageError(f"port {port} cannot be used: choose one from 1024 to {ports.LAST - _HIDDEN - 2 * max(SIZES)}")
    if known is None:
        return _new(_cluster_id(), brokers or 1, port or DEFAULT_PORT)
    have = len(known.nodes)
    if brokers not in {None, have}:
        if data or running:
            raise UsageError(
                f"the cluster has {_brokers(have)} and holds data; it cannot become one of {_brokers(brokers or 1)}. "
                f"Start it without --brokers, or start afresh: `shopstream down --wipe` deletes all its data"
            )
        return _new(known.cluster_id, brokers or 1, port or known.port)
    if port not in {None, known.port}:
        if running:
            raise UsageError(
                f"the cluster is up on port {known.port}: `shopstream down` first, then `shopstream up --port {port}`"
            )
        return _new(known.cluster_id, have, port or known.port)
    if not running and any(not ports.is_free(p) for node in known.nodes for p in _hidden(node)):
        return _new(known.cluster_id, have, known.port)
    return known


def _new(cluster_id: str, brokers: int, port: int) -> Layout:
    taken = {port + index for index in range(max(SIZES))}
    nodes = []
    for index in range(brokers):
        node = Node(index + 1, port + index, *ports.pick(2, port + _HIDDEN, taken))
        taken.update(_hidden(node))
        nodes.append(node)
    return Layout(cluster_id, tuple(nodes))


def _hidden(node: Node) -> tuple[int, int]:
    return node.internal_port, node.controller_port


def _cluster_id() -> str:
    # Kafka's own form of a UUID: 22 characters, of which the first must not be a dash.
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=").replace("-", "_")


def _brokers(count: int) -> str:
    return "1 broker" if count == 1 else f"{count} brokers"
