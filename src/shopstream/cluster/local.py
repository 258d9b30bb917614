"""The local cluster: up, down, status. All that it knows lies in its state directory."""

from __future__ import annotations

import shutil
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from shopstream import topology as topologies
from shopstream.cluster import broker as processes
from shopstream.cluster import certificates, config, jars, passwords, ports, status, training
from shopstream.cluster.broker import Broker
from shopstream.cluster.guard import exclusive
from shopstream.cluster.home import Home, write_private
from shopstream.cluster.jvm import Jvm
from shopstream.cluster.layout import DEFAULT_PORT, SIZES, Layout, Node, agree
from shopstream.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from shopstream.cluster.admin import Converged
    from shopstream.topology import Topology

MIN_FREE_BYTES = 512 << 20
"""`up` does not start a broker with less room on the disk."""
_FORMAT_S = 60.0
_STOP_S = 30.0
_LINGER_S = 1.0
_GIVE_UP_S = 2.0
_PORT_S = 1.0


@dataclass(frozen=True)
class Up:
    """What `up` did.

    Attributes:
        bootstrap_servers: Where clients connect.
        started: The brokers that it started; none when all were up.
        first_credential_s: When the first service's credential worked, in seconds from the beginning of `up`.
        ready_s: When everything was done, in seconds.
        converged: What the topology changed.
    """

    bootstrap_servers: str
    started: tuple[int, ...]
    first_credential_s: float
    ready_s: float
    converged: Converged


class LocalCluster:
    """A Kafka cluster on this machine.

    Args:
        home: The state directory.
        brokers: How many brokers, 1 or 3; by default as many as there are, or one.
        port: The first broker's port for clients; by default the one that was used before, or 9094.
        topology: What it shall have; by default the one that comes with shopstream.
        progress: Told in a line what is being done.
        cache: Where to keep what can be downloaded or computed again; by default below `home`.
        jvm: How to run Kafka; by default with the locked jars, which are installed first.
    """

    def __init__(
        self,
        home: Path,
        *,
        brokers: int | None = None,
        port: int | None = None,
        topology: Topology | None = None,
        progress: Callable[[str], None] = lambda _: None,
        cache: Path | None = None,
        jvm: Jvm | None = None,
    ) -> None:
        self.home = Home(home.absolute())
        self._asked_brokers = brokers
        self._asked_port = port
        self._topology = topology
        self._progress = progress
        self._cache = (cache or self.home.cache).resolve()  # the JVM's cache is bound to the real paths of the jars
        self._given_jvm = jvm

    @property
    def topology(self) -> Topology:
        """What the cluster shall have."""
        if self._topology is None:
            self._topology = topologies.load()
        return self._topology

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect.

        Raises:
            ClusterError: There is no cluster yet.
        """
        return self._known_layout().bootstrap_servers

    def properties(self, user: str) -> Path:
        """The client properties file of a user.

        Raises:
            UsageError: There is no such user, or the cluster was never up.
        """
        path = self.home.properties(user)
        if not path.is_file():
            raise UsageError(f"{path} does not exist: is {user} a user of the topology, and has `shopstream up` run?")
        return path

    def up(self, *, prune: bool = False, timeout: float = 60.0) -> Up:
        """Start what does not run, give the cluster what the topology declares, wait until everyone can log in.

        Args:
            prune: Whether to remove what the topology does not declare.
            timeout: How long the brokers may take to start, and the users to log in, in seconds.

        Raises:
            ClusterError: With what went wrong and what to do. Whatever this call started is stopped again.
            UsageError: What is asked for does not go with the cluster that is there.
        """
        begun = time.monotonic()
        topology = self.topology
        with self._troubles():
            self.home.create()
            with exclusive(self.home.guard):
                jvm = self._jvm()
                layout = self._agree()
                stopped = self._prepare(layout)
                try:
                    self._start(stopped, layout, jvm, timeout)
                    first, converged = self._settle(layout, topology, prune=prune, timeout=timeout)
                except BaseException:
                    processes.stop(stopped, _GIVE_UP_S, 0)  # nobody has written anything to them yet
                    raise
        started = tuple(broker.node.id for broker in stopped)
        return Up(layout.bootstrap_servers, started, first - begun, time.monotonic() - begun, converged)

    def down(self, *, wipe: bool = False, timeout: float = _STOP_S, linger: float = _LINGER_S) -> tuple[int, ...]:
        """Stop the brokers. Their data stay, unless they are to be wiped.

        Args:
            wipe: Whether to delete the data. Passwords, certificates, jars and the JVM's cache stay.
            timeout: How long the brokers may take to close their data before they are killed, in seconds.
            linger: How long their processes may stay after that, in seconds.

        Returns:
            The brokers that were running.
        """
        if not self.home.root.is_dir():
            return ()
        with self._troubles(), exclusive(self.home.guard):
            stopped = processes.stop(self._brokers_to_stop(), timeout, linger)
            if wipe:
                if self.home.brokers.exists():
                    shutil.rmtree(self.home.brokers)
                self.home.layout.unlink(missing_ok=True)
        return stopped

    def status(self) -> status.Status:
        """How the cluster is."""
        layout = self.home.read_layout()
        servers = layout.bootstrap_servers if layout else ""
        return status.Status(str(self.home.root), servers, status.inspect(self._brokers()))

    def kill_broker(self, node: int) -> None:
        """End one broker as a power cut would, to see what happens then. `up` starts it again.

        Args:
            node: Its id.

        Raises:
            UsageError: It does not run.
        """
        broker = next((broker for broker in self._brokers() if broker.node.id == node), None)
        if broker is None or broker.process() is None:
            raise UsageError(f"broker {node} does not run: `shopstream status` tells which do")
        broker.kill()

    def _known_layout(self) -> Layout:
        layout = self.home.read_layout()
        if layout is None:
            raise ClusterError(f"there is no cluster in {self.home.root}: `shopstream up` makes one")
        return layout

    def _brokers(self, layout: Layout | None = None) -> list[Broker]:
        layout = layout or self.home.read_layout()
        return [Broker(node, self.home.broker(node.id)) for node in layout.nodes] if layout else []

    def _brokers_to_stop(self) -> list[Broker]:
        """All that ever ran in this home: also those that a lost or damaged layout does not tell of."""
        try:
            known = {broker.node.id: broker for broker in self._brokers()}
        except ClusterError:
            known = {}
        ids = [int(pid.parent.name) for pid in self.home.brokers.glob("*/pid") if pid.parent.name.isdigit()]
        return [known.get(id_) or Broker(Node(id_, 0, 0, 0), self.home.broker(id_)) for id_ in sorted(ids)]

    def _jvm(self) -> Jvm:
        if self._given_jvm:
            return self._given_jvm
        self._cache.mkdir(parents=True, exist_ok=True)
        waiting = lambda: self._progress("waiting for another process that prepares Kafka")  # noqa: E731
        with exclusive(self._cache / "guard", waiting=waiting):
            jvm = Jvm.of(jars.install(self._cache, jars.Lock.read(), self._progress), self._cache)
            if not jvm.aot.is_file():
                training.train(jvm, self.topology, self._throwaway, self._progress)
        return jvm

    def _throwaway(self, home: Path, jvm: Jvm) -> LocalCluster:
        port = ports.pick(1, (self._asked_port or DEFAULT_PORT) + 200, ())[0]
        return LocalCluster(home, brokers=1, port=port, topology=self.topology, jvm=jvm)

    def _agree(self) -> Layout:
        known = self.home.read_layout()
        brokers = self._brokers(known)
        layout = agree(
            known,
            brokers=self._asked_brokers,
            port=self._asked_port,
            running=any(broker.process() for broker in brokers),
            data=any(broker.formatted for broker in brokers),
        )
        if layout != known:
            write_private(self.home.layout, layout.to_json())
        return layout

    def _prepare(self, layout: Layout) -> list[Broker]:
        """Write what the brokers need; those that do not run, or not as they should, are returned, stopped."""
        brokers = self._brokers(layout)
        if not any(broker.process() for broker in brokers) and certificates.ensure(
            self.home.tls, max(SIZES), datetime.now(UTC)
        ):
            self._progress("made a certificate authority and the brokers' certificates")
        largest = max(int(topic.config.get("max.message.bytes", 1 << 20)) for topic in self.topology.topics.values())
        outdated = []
        for broker in brokers:
            broker.directory.mkdir(mode=0o700, exist_ok=True)
            properties = config.server_properties(
                self.home, layout, broker.node, superusers=self.topology.superusers, largest_message=largest
            )
            text = config.render(properties)
            if not broker.properties.is_file() or broker.properties.read_text(encoding="utf-8") != text:
                outdated.append(broker)
                write_private(broker.properties, text)
        if restarted := [broker for broker in outdated if broker.process()]:
            self._progress("the brokers' configuration has changed: starting them again")
            processes.stop(restarted, _STOP_S, _LINGER_S)
        stopped = [broker for broker in brokers if broker.process() is None]
        for broker in stopped:
            self._check_ports(broker, layout)
        if stopped:
            self._check_disk()
        return stopped

    def _check_ports(self, broker: Broker, layout: Layout) -> None:
        node = broker.node
        for port in (node.client_port, node.internal_port, node.controller_port):
            if not ports.becomes_free(port, _PORT_S):
                other = ports.pick(1, layout.port + 100, ())[0]
                raise ClusterError(
                    f"port {port} for broker {node.id} is in use by {ports.holder(port)}: stop that, or choose other "
                    f"ports with `shopstream up --port {other}`"
                )

    def _check_disk(self) -> None:
        free = shutil.disk_usage(self.home.root).free
        if free < MIN_FREE_BYTES:
            raise ClusterError(
                f"the disk of {self.home.root} is full: {free >> 20} MiB are free, a start needs "
                f"{MIN_FREE_BYTES >> 20} MiB; make room, or choose another place with SHOPSTREAM_HOME"
            )

    def _start(self, brokers: Sequence[Broker], layout: Layout, jvm: Jvm, timeout: float) -> None:
        if not brokers:
            return
        self._format([broker for broker in brokers if not broker.formatted], layout, jvm)
        self._progress(f"starting {len(brokers)} broker{'s' if len(brokers) > 1 else ''}")
        for broker in brokers:
            broker.start(jvm.broker(broker.properties, broker.temporary))
        from shopstream.cluster import admin, credentials  # noqa: F401 - librdkafka, loaded while the brokers boot

        deadline = time.monotonic() + timeout
        for broker in brokers:
            broker.wait_until_open(deadline)
        if any(broker.refused_cache for broker in brokers):
            self._progress("the cache for quick starts was damaged: the next `up` makes it anew")
            jvm.aot.unlink(missing_ok=True)

    def _format(self, brokers: Sequence[Broker], layout: Layout, jvm: Jvm) -> None:
        running = [
            subprocess.Popen(
                jvm.format(broker.properties, layout.cluster_id),
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for broker in brokers
        ]
        try:
            outputs = [process.communicate(timeout=_FORMAT_S)[0] for process in running]
        except subprocess.TimeoutExpired as error:
            raise ClusterError(f"the data directories were not formatted within {_FORMAT_S:.0f} s") from error
        finally:
            for process in running:
                process.kill()
                process.communicate()
            if any(process.returncode for process in running):
                for broker in brokers:
                    shutil.rmtree(broker.data, ignore_errors=True)  # half formatted, and still without any record
        for broker, process, output in zip(brokers, running, outputs, strict=True):
            if process.returncode:
                raise ClusterError(f"the data directory of broker {broker.node.id} cannot be formatted:\n{output}")

    def _settle(self, layout: Layout, topology: Topology, *, prune: bool, timeout: float) -> tuple[float, Converged]:
        from shopstream.cluster.admin import Admin
        from shopstream.cluster.credentials import Logins

        users, new = passwords.collect(self.home, layout, topology.users)
        secrets = {user: settings.password for user, settings in users.items() if settings.password}
        with Logins(time.monotonic() + timeout) as logins:
            logins.start(settings for user, settings in users.items() if user not in new)
            converged = Admin(self._supervisor(layout)).converge(
                topology, secrets, renew=new, brokers=len(layout.nodes), prune=prune
            )
            passwords.save(self.home, users)
            logins.start_everywhere(users[user] for user in sorted({*new, *converged.plan.users}))
            moments = logins.wait()
        return min(moments[user] for user in topology.services), converged

    def _supervisor(self, layout: Layout) -> dict[str, str | int | float | bool]:
        """How to connect as a broker does, by certificate: it works before there is any user."""
        keystore = str(certificates.keystore(self.home.tls, layout.nodes[0].id))
        return {
            "bootstrap.servers": ",".join(f"127.0.0.1:{node.internal_port}" for node in layout.nodes),
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.home.ca),
            "ssl.certificate.location": keystore,
            "ssl.key.location": keystore,
        }

    @contextmanager
    def _troubles(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise ClusterError(
                f"the state directory {self.home.root} cannot be used: {error.strerror or error} "
                f"({error.filename or 'no file named'})"
            ) from error
