"""A deployment that is repeated changes what was changed, and a rehearsal names whatever else it changes."""

from types import SimpleNamespace

import pytest

from shopstream.errors import RehearsalError
from shopstream.rehearsal.life import changing, deploying

TOPOLOGY = "TASK [kafka_topics : Bring topics] ***\nchanged: [monitoring]\n"
LOOK = "TASK [kafka : Write the configuration] ***\nok: [kafka1]\n"
STRANGE = "TASK [kafka : Write the configuration] ***\nchanged: [kafka1]\nchanged: [kafka3]\n"
AT_REST = "nothing to do: everything is as it shall be\n"


@pytest.fixture
def deploy(tmp_path, monkeypatch):
    """Deploys once more: what Ansible and Terraform then say is given."""
    ansible = tmp_path / "infra/.shopstream/shopstream/ansible.log"
    ansible.parent.mkdir(parents=True)
    ansible.write_text(STRANGE)  # of the first deployment, which changes everything
    world = SimpleNamespace(infra=tmp_path / "infra", log=tmp_path / "change.log")

    def run(said, terraform=AT_REST):
        def script(_world):
            with ansible.open("a") as file:
                file.write(said)
            world.log.write_text(f"1 resources to create\n{terraform}")
            return {"checks": "66"}

        monkeypatch.setattr(deploying, "deploy", script)
        return changing._deploy(world)

    return run


def test_what_brings_the_topology_to_the_cluster_may_change_it(deploy):
    assert deploy(TOPOLOGY + LOOK) == {"checks": "66", "tasks of Ansible that changed something": "1 of 2"}


def test_a_task_that_changes_something_for_nothing_is_named_with_its_hosts(deploy):
    with pytest.raises(RehearsalError, match="kafka : Write the configuration on kafka1, kafka3"):
        deploy(TOPOLOGY + STRANGE)


def test_terraform_comes_to_rest(deploy):
    with pytest.raises(RehearsalError, match="something to change again"):
        deploy(TOPOLOGY, terraform="2 resources to change\n")
