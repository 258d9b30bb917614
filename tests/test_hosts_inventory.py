"""An inventory becomes machines with exactly its addresses and memory, or is refused with every reason."""

from __future__ import annotations

import json
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from shopstream.errors import UsageError
from shopstream.rehearsal.hosts import hosts, inventory
from shopstream.rehearsal.hosts.instances import GIB, memory_of
from shopstream.rehearsal.hosts.plan import Plan, plan, tag_of

GOOD = """
# written by hand
[zookeeper]
zookeeper1 ansible_host=198.51.100.11 private_ip=10.20.0.11 public_ip=198.51.100.11 instance_type=t2.micro
[kafka]
kafka1 private_ip=10.20.16.21 instance_type=t3.medium broker_id=1  # behind a bastion
[monitoring]
kafka1
[kafka:vars]
anything=at all
[all:vars]
ansible_user=admin
ansible_ssh_common_args=-o StrictHostKeyChecking=accept-new -o 'UserKnownHostsFile="x"'
vpc_cidr=10.20.0.0/17
"""


def test_hosts_have_the_addresses_groups_and_memory_that_the_file_says():
    read = inventory.parse(GOOD)
    zookeeper, kafka = read.hosts
    assert (zookeeper.name, zookeeper.public_ip, zookeeper.memory) == (
        "zookeeper1",
        IPv4Address("198.51.100.11"),
        1 * GIB,
    )
    assert (kafka.groups, kafka.ansible_host, kafka.public_ip) == (
        ("kafka", "monitoring"),
        IPv4Address("10.20.16.21"),
        None,
    )
    assert kafka.memory == 4 * GIB
    assert (read.user, str(read.network)) == ("admin", "10.20.0.0/17")


def test_without_its_cidr_the_vpc_is_the_largest_that_aws_allows():
    assert str(inventory.parse(GOOD.replace("vpc_cidr=10.20.0.0/17", "")).network) == "10.20.0.0/16"


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("kafka2 private_ip=10.20.0.11 instance_type=t2.micro", "same address 10.20.0.11"),
        ("kafka2 private_ip=10.20.0.22 instance_type=m5.huge", "'m5.huge' is not known here"),
        ("kafka2 instance_type=t2.micro", "kafka2 lacks private_ip"),
        ("kafka2 private_ip=10.20.0.300 instance_type=t2.micro", "must be an IPv4 address"),
        ("kafka2 private_ip=10.99.0.1 instance_type=t2.micro", "not in the VPC 10.20.0.0/17"),
        ("kafka2 private_ip=10.20.0.1 instance_type=t2.micro", "for its router"),
        ("kafka2 private_ip=10.20.0.22 public_ip=10.20.0.23 instance_type=t2.micro", "lies in the VPC"),
        ("kafka2 private_ip=10.20.0.22 ansible_host=1.2.3.4 instance_type=t2.micro", "neither"),
        ("operator private_ip=10.20.0.22 instance_type=t2.micro", "cannot be a host's name"),
        ("Kafka_2 private_ip=10.20.0.22 instance_type=t2.micro", "cannot be a host's name"),
        ("kafka2 private_ip", "expected NAME=VALUE"),
        ("kafka2 x='", "No closing quotation"),
        ("[kafka", "is no section"),
    ],
)
def test_what_cannot_be_stood_up_is_refused_with_the_reason(line, complaint):
    with pytest.raises(UsageError, match="inv: ") as caught:
        inventory.parse(GOOD.replace("[monitoring]", f"{line}\n[monitoring]"), "inv")
    assert complaint in str(caught.value)


def test_all_problems_are_told_at_once_and_an_empty_file_is_one():
    with pytest.raises(UsageError) as caught:
        inventory.parse("[kafka]\na instance_type=t2.micro\nb private_ip=10.0.0.9")
    assert len(str(caught.value).splitlines()) == 2
    with pytest.raises(UsageError, match="no host"):
        inventory.parse("")
    with pytest.raises(UsageError, match="vpc_cidr must be"):
        inventory.parse(GOOD.replace("10.20.0.0/17", "nonsense"))


def test_instances_have_the_memory_that_aws_gives_them():
    assert [memory_of(f"t3.{size}") // GIB for size in ("micro", "small", "medium", "large")] == [1, 2, 4, 8]


def test_a_plan_survives_being_written_and_names_fit_the_kernel():
    planned = plan(inventory.parse(GOOD), tag_of(Path("/somewhere/rehearsal")))
    assert Plan.from_data(json.loads(json.dumps(planned.to_data()))) == planned
    assert all(len(name) <= 15 for name in (planned.bridge, *(guest.link for guest in planned.guests)))
    assert planned.gateway == IPv4Address("10.20.0.1")
    assert tag_of(Path("/a")) != tag_of(Path("/b"))
    with pytest.raises(ValueError, match="not a rehearsal's plan"):
        Plan.from_data({"guests": []})
    with pytest.raises(UsageError, match="there are: zookeeper1, kafka1"):
        planned.guest("nobody")


def test_without_an_inventory_it_is_that_of_a_deployment_with_all_defaults(tmp_path):
    pytest.importorskip("boto3")
    _, read = hosts.Hosts(tmp_path)._inventory(None)
    assert {group for host in read.hosts for group in host.groups} >= {"zookeeper", "kafka", "monitoring"}
