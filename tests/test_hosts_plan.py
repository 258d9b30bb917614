"""What is given to systemd, ip, nft and the kernel follows from the plan alone."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from shopstream.errors import RehearsalError, UsageError
from shopstream.rehearsal.hosts import cgroups, guest, inventory, needs, network
from shopstream.rehearsal.hosts.cgroups import Group, Hierarchies, Usage
from shopstream.rehearsal.hosts.hosts import Hosts
from shopstream.rehearsal.hosts.plan import plan
from shopstream.rehearsal.hosts.state import State

PLAN = plan(
    inventory.parse(
        "[a]\none private_ip=10.0.0.11 public_ip=192.0.2.11 instance_type=t2.micro\n"
        "two private_ip=10.0.0.12 public_ip=192.0.2.12 instance_type=t2.micro\n"
        "three private_ip=10.0.0.13 instance_type=t3.large\n"
    ),
    "abc123",
)
ONE, TWO, THREE = PLAN.guests
V1 = """
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0
cgroup /sys/fs/cgroup/freezer cgroup rw,freezer 0 0
cgroup /sys/fs/cgroup/systemd cgroup rw,name=systemd 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
""".strip()


def test_a_guest_has_both_of_its_addresses_and_reaches_the_others_without_a_router():
    text = network.networkd(PLAN, ONE)
    assert "Address=10.0.0.11/16\nAddress=192.0.2.11/32\nGateway=10.0.0.1\n" in text
    assert re.findall(r"Destination=(\S+)", text) == ["192.0.2.12/32"]
    assert "192.0.2" not in network.networkd(PLAN, THREE).split("[Route]")[0]


def test_the_operator_reaches_public_addresses_and_nothing_else():
    commands = [" ".join(each) for each in network.bridge_commands(PLAN) + network.route_commands(PLAN)]
    assert "ip route add unreachable default" in commands
    assert [each.split()[3] for each in commands if "192.0.2" in each] == ["192.0.2.11/32", "192.0.2.12/32"]


def test_a_partition_drops_both_directions_and_healing_leaves_no_table():
    rules = network.partition_rules(PLAN, [(("one",), ("two", "three"))])
    one, others = '{ "vb-abc123-01" }', '{ "vb-abc123-02", "vb-abc123-03" }'
    assert f"iifname {one} oifname {others} drop" in rules
    assert f"iifname {others} oifname {one} drop" in rules
    assert "hook input" not in rules
    assert network.partition_rules(PLAN, []).splitlines()[-1] == f"delete table bridge {network.TABLE}"


def test_the_operator_can_be_cut_off_too_and_strangers_are_refused():
    rules = network.partition_rules(PLAN, [(("operator",), ("two",))])
    assert "hook forward" not in rules
    assert 'iifname { "vb-abc123-02" } drop' in rules
    assert 'oifname { "vb-abc123-02" } drop' in rules
    with pytest.raises(UsageError, match="no host 'four'"):
        network.partition_rules(PLAN, [(("four",), ("two",))])


def test_a_guests_files_open_it_to_the_given_keys_only():
    login = {"authorized_keys": "ssh-ed25519 AAAA me\n", "host_key": "secret", "home": "/home/admin"}
    files = guest.files(PLAN, ONE, **login, packages="deb http://10.20.0.1/debian ./\n")
    keys = files["/home/admin/.ssh/authorized_keys"]
    assert (keys.text, keys.mode, keys.owner) == ("ssh-ed25519 AAAA me\n", 0o600, "admin")
    assert files["/etc/ssh/ssh_host_ed25519_key"].mode == 0o600
    assert re.fullmatch(r"[0-9a-f]{32}\n", files["/etc/machine-id"].text)
    assert files["/etc/hostname"].text == "one\n"
    assert files["/etc/apt/sources.list"].text == "deb http://10.20.0.1/debian ./\n"


@pytest.mark.parametrize("fresh", [False, True])
def test_a_reboot_boots_again_and_any_other_end_is_the_end(tmp_path, fresh):
    """The real script, with stand-ins for what needs root."""
    for name, text in {
        "mount": f'echo "$*" >> {tmp_path}/mounts',
        "setpriv": 'shift 2; exec "$@"',
        "systemd-nspawn": f"echo boot >> {tmp_path}/boots; [ $(wc -l < {tmp_path}/boots) -ge 3 ] && exit 7; exit 133",
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "cgroup").mkdir()
    joining = guest.Joining((tmp_path / "joined",), tmp_path / "cgroup" if fresh else None)
    script = guest.supervisor(PLAN, ONE, image=tmp_path, directory=tmp_path / "one", joining=joining)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(["sh", "-c", script], env={"PATH": path}, timeout=20, check=False)
    assert done.returncode == 7
    assert (tmp_path / "boots").read_text() == "boot\n" * 3
    assert (tmp_path / "joined").read_text().strip().isdigit()
    # Once, before the first boot: systemd-nspawn's locks are nobody else's, and go with the mount namespace.
    locks, disk = (tmp_path / "mounts").read_text().splitlines()
    assert (locks.split()[:3], locks.split()[-1]) == (["-t", "tmpfs", "tmpfs"], "/run/systemd/nspawn")
    assert disk.startswith("-t overlay")
    # With version 2 each boot has a cgroup of its own, as one that is divided takes no more processes.
    assert len(list((tmp_path / "cgroup").iterdir())) == (3 if fresh else 0)


def test_version_1_is_used_where_memory_is_with_it():
    found = cgroups.hierarchies(V1, "hugetlb")
    assert not found.v2
    assert found.mounts["cpu"] == found.mounts["cpuacct"] == Path("/sys/fs/cgroup/cpu,cpuacct")
    assert len(found.roots) == 5


def test_version_2_is_used_where_memory_is_with_it():
    found = cgroups.hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0", "cpu memory pids")
    assert (found.v2, found.roots) == (True, (Path("/sys/fs/cgroup"),))


def test_without_a_memory_controller_it_says_what_to_do():
    with pytest.raises(RehearsalError, match="--privileged"):
        cgroups.hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0", "cpu pids")


def test_usage_is_read_from_version_2s_files(tmp_path):
    group = Group(Hierarchies(v2=True, mounts={"unified": tmp_path}), "g")
    assert group.usage() == Usage(0, 0, 0, 0)
    (tmp_path / "g").mkdir()
    for name, text in {
        "memory.current": "500\n",
        "memory.max": "1000\n",
        "memory.stat": "anon 300\ninactive_file 200\n",
        "memory.events": "oom 3\noom_kill 2\n",
        "cgroup.events": "populated 1\nfrozen 1\n",
    }.items():
        (tmp_path / "g" / name).write_text(text)
    assert group.usage() == Usage(300, 200, 1000, 2)
    assert group.frozen


DEBIAN = 'PRETTY_NAME="Debian GNU/Linux 12"\nID=debian\n'


def test_a_machine_that_lacks_something_is_told_all_of_it():
    assert needs.lacking(system="Linux", uid=0, os_release=DEBIAN, missing=set()) == []
    assert needs.lacking(system="Linux", uid=0, os_release='ID=pop\nID_LIKE="ubuntu debian"\n', missing=set()) == []
    root, tools = needs.lacking(system="Linux", uid=1000, os_release=DEBIAN, missing={"nft", "systemd-nspawn"})
    assert "takes root" in root
    assert "apt-get install nftables systemd-container" in tools
    (other,) = needs.lacking(system="Darwin", uid=501, os_release="", missing={"nft"})
    assert "Debian 12 or Ubuntu, and this is Darwin" in other


def test_one_command_at_a_time_changes_the_machines(tmp_path):
    state = State(tmp_path / "rehearsal")
    with (
        state.changing(),
        pytest.raises(RehearsalError, match=rf"another .*pid {os.getpid()}\) is changing"),
        state.changing(),
    ):
        pass
    with state.changing():
        pass


def test_paths_that_mount_cannot_take_and_damaged_records_are_refused(tmp_path):
    with pytest.raises(UsageError, match="an overlay mount cannot take"):
        State(tmp_path / "a,b").create()
    state = State(tmp_path)
    (tmp_path / "hosts.json").write_text("{")
    with pytest.raises(RehearsalError, match="hosts down"):
        state.read()


def test_without_machines_every_command_says_how_to_get_them(tmp_path):
    hosts = Hosts(tmp_path)
    for command in (hosts.heal, hosts.cut, lambda: hosts.run("one", ["true"])):
        with pytest.raises(RehearsalError, match="hosts up"):
            command()
    with pytest.raises(UsageError, match="both sides"):
        hosts.partition(["one"], ["one"])
