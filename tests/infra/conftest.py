"""What more than one module of these tests uses."""

import pytest

from tests.infra.hosts_world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Eight machines, made a cluster from nothing by site.yml. At the end nothing may be left of them."""
    world = World(tmp_path_factory.mktemp("cluster"))
    with world.hosts:  # leaving it raises when anything is left
        world.up()
        world.play("site.yml")
        world.write_clients()
        yield world
