"""A run's services as Lambda functions: the zips, a local event source mapping, and a stand-in for AWS beside it."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from shopstream.errors import ClusterError, ShopstreamError, Uncertain
from shopstream.lambdas.host import LambdaHost
from shopstream.lambdas.runtime import LocalRuntime
from shopstream.lambdas.secrets import SecretsManager
from shopstream.offsets import EARLIEST, LATEST, list_offsets
from shopstream.rehearsal.aws import AwsStandIn
from shopstream.run.lambda_shop import LambdaShop, function_name, set_up
from shopstream.runs import decode_run
from shopstream.runtime.generator import Generator
from shopstream.runtime.kafka_log import KafkaLog
from shopstream.runtime.kafka_output import AtLeastOnceOutput
from shopstream.runtime.ledger import Ledger
from shopstream.settings import for_user, for_user_or_itself

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from shopstream.events import Event
    from shopstream.lambdas.model import Faults
    from shopstream.run.fleet import Tell
    from shopstream.run.plan import Plan
    from shopstream.runs import Run
    from shopstream.runtime.transport import Batch
    from shopstream.topology import Service, Topology

MOST_ORDERS = 500
"""Orders for one invocation of the source: about half a second of work."""
_LOOK_EVERY = 0.5  # seconds between two looks at the topics' ends
_PATIENCE = 1_800.0  # seconds
_SESSIONS_END_WITHIN = 60.0  # seconds; a session is 10
# What the coordinator answers to a commit from outside while a group has members.
_STILL_MEMBERS = {KafkaError.UNKNOWN_MEMBER_ID, KafkaError.ILLEGAL_GENERATION, KafkaError.REBALANCE_IN_PROGRESS}
_TIMEOUT = 10.0  # seconds for one answer of the brokers


class LambdaFleet:
    """The shop on Lambda, for one run.

    The stand-in for AWS forgets everything when it ends, the joins' tables included. So when a run is resumed, the
    services with a table read their topics again from the beginning; what they publish again is byte-identical.

    Args:
        plan: What to run.
        topology: The shop.
        tell: Called with a line when something unexpected happens.
        resumes: Whether the run was begun before.
        zips: Where the functions' zips are.
        faults: What shall go wrong on purpose.
        restart_every: Seconds after which all pollers are restarted, again and again; None for never.
    """

    def __init__(
        self,
        plan: Plan,
        topology: Topology,
        tell: Tell,
        resumes: bool,
        *,
        zips: Path,
        faults: Faults | None = None,
        restart_every: float | None = None,
    ) -> None:
        self._plan = plan
        self._topology = topology
        self._tell = tell
        self._resumes = resumes
        self._zips = zips
        self._faults = faults
        self._restart_every = restart_every
        self._restarts = 0
        self._restarted: float | None = None  # not before the first order: a restart shall interrupt something
        self._aws = AwsStandIn(plan.logs / "aws.log")
        self._host: LambdaHost | None = None
        self._shop: LambdaShop | None = None
        self._source: _Source | None = None
        self._ends = _Ends(plan.cluster, topology)

    def start(self) -> None:
        """Start the stand-in, the functions' host and the pollers."""
        plan = self._plan
        runtime = LocalRuntime(plan.home / "cache" / "lambda", os.environ, self._tell)
        runtime.python()
        self._aws.start()
        self._shop = set_up(self._topology, plan.cluster, self._zips, self._aws.client, seed=plan.run.seed)
        if self._resumes:
            rewind_joins(plan.cluster, self._topology)
        self._host = LambdaHost(
            self._shop.functions,
            self._shop.mappings,
            secrets=SecretsManager(lambda: self._aws.client("secretsmanager")),
            runtime=runtime,
            home=plan.home / "lambda",
            tell=self._tell,
            faults=self._faults,
            environment=self._aws.environment(),
        )
        self._host.start()

    def start_source(self) -> None:
        """Begin to invoke the source's function."""
        self._ends.begin()
        self._source = _Source(self._plan, self._topology, self._running())
        self._source.start()
        self._restarted = time.monotonic()

    def check(self) -> None:
        """Restart the pollers when that is wanted. Whatever else can be mended, the host mends itself.

        Raises:
            ClusterError: The source has failed.
        """
        host = self._running()
        if self._source is not None and self._source.failure is not None:
            raise ClusterError(f"the orders cannot be placed: {self._source.failure}")
        if self._restart_every and self._restarted and time.monotonic() - self._restarted > self._restart_every:
            self._tell("restarting all pollers")
            host.restart_pollers()
            self._restarts += 1
            self._restarted = time.monotonic()

    def stop(self) -> None:
        """End the source, the pollers at the end of their batches, the functions and the stand-in."""
        try:
            if self._source is not None:
                self._source.stop()
        finally:
            try:
                if self._host is not None:
                    self._host.stop()
                    if self._faults is not None or self._restart_every:
                        self._tell(f"faults: {self._faulty(self._host)}")
            finally:
                self._aws.stop()

    def _faulty(self, host: LambdaHost) -> str:
        """How much went wrong, for whoever wanted it to."""
        counts = host.counts().values()
        failures, invocations = sum(each.failures for each in counts), sum(each.invocations for each in counts)
        again = sum(each.redelivered for each in counts)
        return (
            f"{failures:,} of {invocations:,} invocations failed, {again:,} records were delivered once more after "
            f"their success; restarts of all pollers: {self._restarts}"
        )

    @property
    def patience(self) -> float:
        """Seconds. The queue before a slow function, or one whose every batch is repeated, may be long."""
        return _PATIENCE

    @property
    def ready(self) -> bool:
        """Whether every mapping has its partitions."""
        return self._running().ready

    @property
    def pids(self) -> dict[str, int]:
        """The functions' environments, numbered."""
        return {
            f"{self._service_of(function)}-{number}": pid
            for function, pids in self._running().processes().items()
            for number, pid in enumerate(pids)
        }

    @property
    def source_finished(self) -> bool:
        """Whether all orders have been acknowledged to the source."""
        return self._source is not None and self._source.finished

    def counts(self) -> dict[str, dict[str, Counter[str]]]:
        """Records that functions were given, and events on the topics since the run began."""
        counts = {service.name: {"read": Counter[str](), "written": Counter[str]()} for service in self._services}
        for mapping in self._running().counts().values():
            counts[self._service_of(mapping.function)]["read"][mapping.topic] += mapping.delivered
        for service in self._services:
            for topic in service.produces:
                counts[service.name]["written"][topic] = self._ends.growth(topic)
        return counts

    @property
    def _services(self) -> Iterable[Service]:
        return self._topology.services.values()

    def _service_of(self, function: str) -> str:
        if self._shop is None:
            raise RuntimeError("start() comes first")
        return self._shop.service_of[function]

    def _running(self) -> LambdaHost:
        if self._host is None:
            raise RuntimeError("start() comes first")
        return self._host


class _Source:
    """Invokes the source's function until all orders of the run are there, at the run's rate, in a thread.

    The generator's own logic decides what is due and goes on where a run was left; its output is this: instead of
    writing orders it has the function write them, and then notes on the progress topic how far that came.
    """

    def __init__(self, plan: Plan, topology: Topology, host: LambdaHost) -> None:
        source = topology.source
        client = for_user(plan.cluster, source.name)
        self.failure: ShopstreamError | None = None
        self._function = function_name(source.name)
        self._host = host
        self._due: tuple[int, int] = (0, 0)
        self._progress = KafkaLog(client, source.name)
        self._notes = AtLeastOnceOutput(client, source, 0, None)
        self._ledger = Ledger(plan.ledger)
        self._generator = Generator(
            topology,
            plan.run,
            self._remember,
            self,
            self._progress,
            rate=plan.rate,
            acknowledged=self._ledger.note,
        )
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name=f"{source.name} invocations", daemon=True)

    @property
    def finished(self) -> bool:
        return self._generator.done.finished

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._generator.close()
        self._progress.close()
        self._ledger.close()

    # --- What the generator takes for its output ---

    def write(self, batch: Batch, group: Any = None) -> None:
        run = decode_run(batch.state[0].value or b"")
        first, count = self._due
        for begin in range(first, first + count, MOST_ORDERS):
            self._invoke(run, begin, min(MOST_ORDERS, first + count - begin))
        self._notes.write(batch, group)

    def renew(self) -> None:
        self._notes.renew()

    def close(self) -> None:
        self._notes.close()

    def _remember(self, run: Run, first: int, count: int) -> Iterable[Event]:  # noqa: ARG002 - the generator's call
        self._due = (first, count)
        return ()

    def _invoke(self, run: Run, first: int, count: int) -> None:
        event = {
            "id": run.run_id,
            "time": run.start.isoformat(),
            "orders": count,
            "first": first,
            "seed": run.seed,
            "shop_rate": run.shop_rate,
        }
        invocation = self._host.invoke(self._function, json.dumps(event).encode())
        if invocation.error:
            text = invocation.payload.decode(errors="replace")[:500]
            raise Uncertain(f"{self._function}: {invocation.error}: {text}")

    def _work(self) -> None:
        try:
            self._generator.run(self._stopping.is_set)
        except ShopstreamError as error:
            self.failure = error


class _Ends:
    """How much the topics have grown, seen by the auditor's user."""

    def __init__(self, cluster: Path, topology: Topology) -> None:
        reader = for_user_or_itself(cluster, topology.user_of("auditor"))
        self._admin = AdminClient({**reader.to_librdkafka(), "log_level": 0})
        self._places = [
            (topic, number)
            for service in topology.services.values()
            for topic in service.produces
            for number in range(topology.topics[topic].partitions)
        ]
        self._begin: Counter[str] = Counter()
        self._now: Counter[str] = Counter()
        self._looked = 0.0

    def begin(self) -> None:
        self._begin = self._now = self._look()
        self._looked = time.monotonic()

    def growth(self, topic: str) -> int:
        if time.monotonic() - self._looked > _LOOK_EVERY:
            self._now = self._look()
            self._looked = time.monotonic()
        return self._now[topic] - self._begin[topic]

    def _look(self) -> Counter[str]:
        ends: Counter[str] = Counter()
        for (topic, _), offset in list_offsets(self._admin, self._places, LATEST).items():
            ends[topic] += offset
        return ends


def rewind_joins(cluster: Path, topology: Topology) -> None:
    """Let the services with a table read their topics again: the table is a new one, and halves wait on the topics.

    Raises:
        ClusterError: The cluster refuses.
    """
    for service in topology.processors:
        if service.state:
            rewind(cluster, service)


def rewind(cluster: Path, service: Service) -> None:
    """Let a service's mappings begin again with the oldest records.

    The pollers of a run that was killed stay members of their groups until their sessions have run out; that is waited
    for.

    Raises:
        ClusterError: The cluster refuses.
    """
    client = for_user(cluster, service.name)
    for event_source in service.event_sources:
        config = {**client.to_librdkafka(), "group.id": event_source.group, "enable.auto.commit": False}
        consumer = Consumer({**config, "log_level": 0})
        try:
            known = consumer.list_topics(event_source.topic, timeout=_TIMEOUT).topics[event_source.topic].partitions
            places = [(event_source.topic, number) for number in known]
            oldest = list_offsets(AdminClient({**client.to_librdkafka(), "log_level": 0}), places, EARLIEST)
            offsets = [TopicPartition(topic, number, offset) for (topic, number), offset in oldest.items()]
            _commit_when_empty(consumer, offsets)
        except KafkaException as error:
            raise ClusterError(f"group {event_source.group} cannot be set back: {error.args[0].str()}") from error
        finally:
            consumer.close()


def _commit_when_empty(consumer: Consumer, offsets: list[TopicPartition]) -> None:
    deadline = time.monotonic() + _SESSIONS_END_WITHIN
    while True:
        try:
            consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() not in _STILL_MEMBERS or time.monotonic() > deadline:
                raise
            time.sleep(_LOOK_EVERY)
        else:
            return
