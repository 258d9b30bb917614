"""Two guests, really booted: reached, hurt, crashed, and cleared away without a trace, whatever was killed before.

As root on Debian or Ubuntu. Elsewhere these tests fail, and say what is missing: skipped, they would show nothing.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from shopstream.errors import RehearsalError
from shopstream.rehearsal.hosts import Hosts, cgroups, guest, needs, processes, remains
from shopstream.rehearsal.hosts.pages import Page, forward

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(900)]

INVENTORY = """
[kafka]
one private_ip=10.20.0.21 public_ip=198.51.100.21 ansible_host=198.51.100.21 instance_type=t2.micro
two private_ip=10.20.16.22 instance_type=t3.small
[all:vars]
ansible_user=admin
vpc_cidr=10.20.0.0/16
"""
CACHE = Path(
    os.environ.get("SHOPSTREAM_REHEARSAL_CACHE", Path(__file__).parent.parent / ".shopstream/cache/rehearsal")
).absolute()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    try:
        needs.require()
    except RehearsalError as error:
        pytest.fail(f"this test boots machines, and cannot here: {error}", pytrace=False)
    home = tmp_path_factory.mktemp("hosts")
    (home / "two.ini").write_text(INVENTORY)
    before = of_nspawn()
    yield home
    Hosts(home).down()
    assert of_nspawn() <= before  # after all the killing


def of_nspawn():
    """The locks and directories that systemd-nspawn has out here."""
    return {path for path in Path(guest.NSPAWN).rglob("*") if path.parent != Path(guest.NSPAWN)}


def hosts_of(home):
    return Hosts(home, cache=CACHE)


def raise_(home):
    return hosts_of(home).up(home / "two.ini", aws=False)


@pytest.fixture
def up(home):
    """The guests, running and unhurt."""
    hosts = hosts_of(home)
    raise_(home)
    hosts.thaw()
    hosts.heal()
    hosts.start()
    return hosts


@pytest.fixture
def bare(home):
    """Nothing is there."""
    hosts_of(home).down()
    return home


def hears(hosts, name, address):
    return hosts.run(name, ["ping", "-c1", "-W1", address]).returncode == 0


def host(hosts, name):
    return next(each for each in hosts.status().hosts if each.name == name)


def left(home):
    """What a look around finds, apart from what was written to disk."""
    found = remains.look(hosts_of(home).state, cgroups.find()).places
    return {place: each for place, each in found.items() if each}


def launch(home, *, until):
    """`up` as a command of its own, returned when it has said `until`."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "shopstream.cli.main",
            "rehearse",
            "hosts",
            "up",
            "--no-aws",
            f"--inventory={home}/two.ini",
        ],
        env={**os.environ, "SHOPSTREAM_HOME": str(home), "SHOPSTREAM_REHEARSAL_CACHE": str(CACHE)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    for line in process.stderr:
        if until in line:
            return process
    pytest.fail(f"`up` ended with {process.wait()} before it said {until!r}")


def test_up_again_says_so_and_ssh_opens_the_guests_at_the_inventorys_addresses(up, home):
    again = raise_(home)
    assert again.already
    ssh = ["ssh", "-o", f"UserKnownHostsFile={up.state.known_hosts}", "-o", "StrictHostKeyChecking=yes"]
    for name, address in (("one", "198.51.100.21"), ("two", "10.20.16.22")):
        said = up.run("operator", [*ssh, "-i", again.private_key, f"admin@{address}", "hostname; sudo id -u"])
        assert said.stdout.split() == [name, "0"], said.stderr
    assert hears(up, "two", "198.51.100.21")


def test_nothing_of_a_guest_reaches_the_world_and_it_is_told_at_once(up):
    done = up.run("one", ["ping", "-c1", "-W5", "192.0.2.1"], timeout=4)
    assert "Unreachable" in done.stdout


def test_memory_ends_at_the_instances_and_the_guest_lives_on(up):
    kills = host(up, "one").oom_kills
    assert host(up, "one").memory_limit == 1 << 30
    assert host(up, "two").memory_limit == 2 << 30
    assert up.run("one", ["python3", "-c", "bytearray(1500 << 20)"]).returncode != 0
    assert host(up, "one").oom_kills > kills
    assert up.run("two", ["python3", "-c", "bytearray(1500 << 20)"]).returncode == 0
    assert host(up, "one").state == "up"


def test_a_crash_keeps_the_disk_and_a_reboot_boots_again(up):
    up.run("one", ["sh", "-c", "echo kept > /var/kept; sync"])
    up.freeze("one")
    assert host(up, "one").state == "frozen"
    up.cut("one")  # a frozen one too
    assert (host(up, "one").state, host(up, "two").state) == ("down", "up")
    with pytest.raises(RehearsalError, match="start one"):
        up.run("one", ["true"])
    up.start("one")
    assert up.run("one", ["cat", "/var/kept"]).stdout == "kept\n"
    before = up._machine(up._running(), "one").init
    up.run("one", ["systemctl", "reboot"])
    assert processes.wait_until(lambda: up._machine(up._running(), "one").init not in {before, None}, 30)
    up._wait_for_doors([up._machine(up._running(), "one")])
    assert up.run("one", ["cat", "/var/kept"]).stdout == "kept\n"


def test_all_can_crash_at_once(up):
    up.cut()
    assert {each.state for each in up.status().hosts} == {"down"}
    up.start()
    assert {each.state for each in up.status().hosts} == {"up"}


def test_cables_and_partitions_do_what_they_say(up):
    up.partition(["one"], ["two"])
    assert not hears(up, "two", "10.20.0.21")
    assert not hears(up, "two", "198.51.100.21")
    assert hears(up, "one", "10.20.0.1")
    up.partition(["operator"], ["one"])
    assert not hears(up, "one", "10.20.0.1")
    assert len(up.status().partitions) == 2
    up.heal()
    assert hears(up, "two", "10.20.0.21")
    up.unplug("one")
    assert host(up, "one").unplugged
    assert not hears(up, "two", "10.20.0.21")
    up.plug("one")
    assert processes.wait_until(lambda: hears(up, "two", "10.20.0.21"), 5)


@pytest.mark.parametrize("moment", ["booting", "answers on"])
def test_ctrl_c_clears_away_what_up_has_begun(bare, moment):
    process = launch(bare, until=moment)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    process.stderr.close()
    assert left(bare) == {}


@pytest.mark.parametrize("moment", ["booting", "answers on"])
def test_after_a_kill_of_up_its_remains_are_seen_and_cleared(bare, moment):
    process = launch(bare, until=moment)
    with pytest.raises(RehearsalError, match="another"):
        raise_(bare)
    process.kill()
    process.wait()
    process.stderr.close()
    assert left(bare)
    assert not hosts_of(bare).status().up
    assert not hosts_of(bare).down()
    assert left(bare) == {}


def test_after_a_kill_of_up_it_can_be_repeated(bare):
    process = launch(bare, until="booting")
    process.kill()
    process.wait()
    process.stderr.close()
    assert not raise_(bare).already


@pytest.mark.parametrize("victim", ["sh", "systemd-nspawn", "python"])
def test_whatever_is_killed_status_tells_and_down_clears(up, home, victim):
    pids = processes.in_network(up._namespace.identity)
    named = [pid for pid in pids if psutil.Process(pid).name().startswith(victim)]
    if victim == "python":
        named = [pid for pid in named if "shopstream.rehearsal.hosts.services" in psutil.Process(pid).cmdline()]
    assert named
    processes.kill(named)
    assert processes.wait_until(
        lambda: not up.status().services or any(each.state in {"down", "orphaned"} for each in up.status().hosts), 10
    )
    if victim == "python":
        with pytest.raises(RehearsalError, match=r"services\.log"):
            raise_(home)
    up.down()
    assert left(home) == {}


def test_down_finds_everything_without_its_records(up, home):
    for path in up.state.root.glob("*.json"):
        path.unlink()
    up.state.sockets.mkdir()
    assert "SSH's shared connections" in left(home)
    up.down()
    assert left(home) == {}
    assert json.dumps(up.status().to_data()["leftovers"]) == "{}"


def test_a_connection_that_is_shared_ends_with_the_machines(up, home):
    up.state.sockets.mkdir()
    ssh = ["ssh", "-o", f"UserKnownHostsFile={up.state.known_hosts}", "-o", "ControlMaster=auto", "-o",
           "ControlPersist=60", "-o", f"ControlPath={up.state.sockets}/%C", "-i", str(up.state.key)]  # fmt: skip
    line, environment = up.command("operator", [*ssh, "admin@10.20.16.22", "true"])
    subprocess.run(line, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, timeout=30)
    assert list(up.state.sockets.iterdir())
    up.down()
    assert left(home) == {}


def test_a_page_of_a_machine_is_reached_from_here(up):
    page = Page("SSH", "198.51.100.21", 22)

    async def greeting():
        told = asyncio.get_running_loop().create_future()
        at_work = asyncio.create_task(
            forward([page], lambda _: up._namespace.call(lambda: socket.create_connection((page.address, 22))),
                    told.set_result)
        )  # fmt: skip
        reader, writer = await asyncio.open_connection("127.0.0.1", (await told)[page])
        said = await asyncio.wait_for(reader.read(4), 10)
        writer.close()
        at_work.cancel()
        await asyncio.gather(at_work, return_exceptions=True)
        return said

    assert asyncio.run(greeting()) == b"SSH-"
