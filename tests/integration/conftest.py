"""One real cluster for all tests that need Kafka: secured, on free ports, in a directory of its own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shopstream.cluster import home, ports
from shopstream.cluster.local import LocalCluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
APART = 40
"""How far apart the clusters of a test run lie, so that they leave each other's ports alone."""
FIRST_PORT = 12000 + os.getpid() % 40 * 10 * APART
"""Below the ports that the system gives to clients, and another for each test run."""


@pytest.fixture(scope="session")
def new_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., LocalCluster]]:
    """Makes clusters that are not started yet; all are stopped and wiped in the end.

    They share what the checkout's own cluster has downloaded and prepared, so that nothing is done twice.
    """
    cache = home.find(os.environ, ROOT).cache
    made: list[LocalCluster] = []

    def make(**options: object) -> LocalCluster:
        port = ports.pick(1, FIRST_PORT + APART * len(made), ())[0]
        directory = tmp_path_factory.mktemp("cluster", numbered=True)
        cluster = LocalCluster(directory, **{"port": port, "cache": cache, **options})
        made.append(cluster)
        return cluster

    yield make
    for cluster in made:
        cluster.down(wipe=True)


@pytest.fixture(scope="session")
def cluster(new_cluster: Callable[..., LocalCluster]) -> LocalCluster:
    """A cluster of one broker that is up, with the topology that comes with shopstream, for tests that use it well."""
    cluster = new_cluster()
    cluster.up()
    return cluster


@pytest.fixture(scope="session")
def spare_cluster(new_cluster: Callable[..., LocalCluster]) -> LocalCluster:
    """A second one, for tests that break things; each leaves it up."""
    cluster = new_cluster()
    cluster.up()
    return cluster
