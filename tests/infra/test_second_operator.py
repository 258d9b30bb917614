"""Two checkouts, one deployment: who has its state has nothing to do, who has not is refused before anything is made.

The tests of this file are one story, with the real Terraform, and run in their order.
"""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from shopstream.aws import leftovers
from shopstream.aws.account import Aws
from shopstream.rehearsal.aws import REGION, AwsStandIn
from tests.infra.test_deployment import Site

pytestmark = [pytest.mark.infra, pytest.mark.deployment, pytest.mark.timeout(900)]

GROUP = "inventory_manager.order_cancelled"


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """The checkout of who has deployed, and that of a colleague, with zips of their own."""
    folder = tmp_path_factory.mktemp("second")
    with AwsStandIn(folder / "aws.log") as stand_in:
        first, second = Site(folder / "first", stand_in), Site(folder / "second", stand_in)
        for site in (first, second):
            site.build()
        first.up(*place(first))
        yield first, second


@pytest.fixture
def unchanged(sites):
    """AWS has the same afterwards."""
    import boto3

    first, _ = sites
    with pytest.MonkeyPatch.context() as patch:
        for name, value in first.aws.environment().items():
            patch.setenv(name, value)
        with Aws(boto3.session.Session(region_name=REGION), REGION) as aws:
            before = leftovers.find(aws, first.deployment)
            yield
            assert leftovers.find(aws, first.deployment) == before


def place(site):
    return ("--admin-cidr", "203.0.113.7/32", "--ssh-public-key", str(site.key))


def state_of(site):
    return site.folder / "infra" / "terraform" / "terraform.tfstate"


def test_a_fresh_checkout_is_refused_before_anything_is_made(sites, unchanged):
    first, second = sites
    second.script("deploy", *second.deploying(*place(second)), expect=1)
    assert "AWS has what Terraform's state does not know of shopstream: vpc-" in second.news
    assert "--state FILE, --backend-config KEY=VALUE" in second.news
    assert not state_of(second).exists()
    assert first.made > 100


def test_who_has_the_state_has_nothing_to_do(sites, unchanged):
    first, second = sites
    arguments = ("--state", str(state_of(first)), "--plan-only", *place(second))
    second.script("deploy", *second.deploying(*arguments))
    assert second.news.splitlines()[-1] == "nothing to do"


def test_nor_has_a_plan_that_terraform_makes_alone(sites, unchanged):
    """As .github/workflows/plan.yml does, with the zips where its `make zips` puts them."""
    first, second = sites
    client = first.aws.client("secretsmanager")
    authority = json.loads(client.get_secret_value(SecretId=first.deployment.ca_secret)["SecretString"])
    variables = second.folder / "plan.tfvars.json"
    variables.write_text(
        json.dumps(
            {
                "admin_cidr": "203.0.113.7/32",
                "ssh_public_key": second.key.read_text(encoding="utf-8").strip(),
                "kafka_ca_certificate": authority["certificate"],
            }
        ),
        encoding="utf-8",
    )
    done = subprocess.run(
        ["terraform", "plan", "-input=false", "-no-color", "-lock=false", f"-state={state_of(first)}",
         f"-var-file={variables}", "-var=name=shopstream", f"-var=region={REGION}"],
        cwd=second.folder / "infra" / "terraform", env=first.aws.apart(os.environ), capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "No changes." in done.stdout


def test_a_second_deployment_is_refused_while_the_first_has_its_consumer_groups(sites, unchanged):
    _, second = sites
    arguments = ("--name", "team-two", "--state", str(second.folder / "two.tfstate"), *place(second))
    second.script("deploy", *second.deploying(*arguments), expect=1)
    assert f"of the function shopstream-inventory_manager has the consumer group {GROUP}" in second.news
    assert "choose another --region or account" in second.news
    assert not (second.folder / "two.tfstate").exists()


def test_a_refused_variable_is_told_in_the_words_of_its_rule(sites, unchanged):
    first, _ = sites
    first.script("deploy", *first.deploying("--admin-cidr", "0.0.0.0/0"), expect=2)
    assert first.news.splitlines()[-1].startswith(
        "error: admin_cidr would open SSH to a large part of the internet. Name the network that you work from; "
    )


def test_a_state_that_is_not_there_destroys_nothing(sites, unchanged):
    _, second = sites
    found = second.script("destroy", "--yes", "--state", str(second.folder / "absent.tfstate"), expect=1)
    assert "there is no such file" in second.news
    assert "nothing is touched" in second.news
    assert found["left"]
