"""A broker's process: started apart from us, recognised, stopped, killed, and questioned about its death.

The processes here are small Python programs that behave like a broker, well or badly.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from shopstream.cluster import broker as brokers
from shopstream.cluster import ports
from shopstream.cluster.broker import Broker, BrokerDiedError
from shopstream.cluster.jvm import Jvm
from shopstream.cluster.layout import Node
from shopstream.cluster.status import inspect
from shopstream.errors import ClusterError

TIMEOUT_S = 10

LISTENING = """
import pathlib, signal, socket, sys, threading
data = pathlib.Path(sys.argv[1]).parent / "data"
data.mkdir(exist_ok=True)
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
print("listening", flush=True)
def end(*_):
    (data / ".kafka_cleanshutdown").touch()
    {ending}
signal.signal(signal.SIGTERM, end)
threading.Event().wait()
"""
POLITE = LISTENING.format(ending="sys.exit(0)")
LINGERING = LISTENING.format(ending="pass")
STUBBORN = LISTENING.replace('(data / ".kafka_cleanshutdown").touch()', "return").format(ending="pass")


@pytest.fixture
def broker(tmp_path):
    broker = Broker(Node(1, ports.pick(1, 25000, ())[0], 1, 2), tmp_path)
    broker.properties.write_text("")
    yield broker
    broker.kill()


def start(broker, program):
    broker.start([sys.executable, "-c", program, str(broker.properties), str(broker.node.client_port)])


def deadline():
    return time.monotonic() + TIMEOUT_S


def test_it_is_started_apart_from_us_and_stopped(broker):
    start(broker, POLITE)
    broker.wait_until_open(deadline())
    process = broker.process()
    assert process.pid not in {child.pid for child in psutil.Process().children(recursive=True)}
    assert os.getpgid(process.pid) != os.getpgid(0)
    assert inspect([broker])[0].state == "up"
    assert brokers.stop([broker], TIMEOUT_S, TIMEOUT_S) == (1,)
    assert broker.process() is None
    assert not broker.died
    assert inspect([broker])[0].state == "down"
    assert brokers.stop([broker], TIMEOUT_S, TIMEOUT_S) == ()


def test_it_is_recognised_from_its_first_instant(broker):
    for _ in range(20):
        start(broker, "import threading; threading.Event().wait()")
        until = time.monotonic() + 0.05
        while time.monotonic() < until:
            assert broker.process()
        broker.kill()


def test_one_that_lingers_with_its_data_closed_is_not_waited_for(broker):
    start(broker, LINGERING)
    broker.wait_until_open(deadline())
    begun = time.monotonic()
    assert brokers.stop([broker], TIMEOUT_S, 0.1) == (1,)
    assert time.monotonic() - begun < TIMEOUT_S / 2
    assert broker.process() is None


def test_one_that_does_not_stop_is_killed(broker):
    start(broker, STUBBORN)
    broker.wait_until_open(deadline())
    assert brokers.stop([broker], 0.3, TIMEOUT_S) == (1,)
    assert broker.process() is None


def test_a_killed_one_counts_as_died(broker):
    start(broker, POLITE)
    broker.wait_until_open(deadline())
    broker.kill()
    assert broker.died
    (status,) = inspect([broker])
    assert status.state == "died"
    assert "shopstream up" in status.diagnosis


def test_somebody_elses_process_is_not_taken_for_ours(broker):
    (broker.directory / "pid").write_text(str(os.getpid()))
    assert broker.process() is None
    assert brokers.stop([broker], TIMEOUT_S, TIMEOUT_S) == ()  # and we live to see it


@pytest.mark.parametrize("content", ["", "not a number", "999999999"])
def test_a_useless_pid_file_is_no_process(broker, content):
    (broker.directory / "pid").write_text(content)
    assert broker.process() is None


def test_one_that_dies_at_the_start_says_why(broker):
    start(broker, "import sys; print('INFO all well'); sys.exit('java.lang.IllegalStateException: the reason')")
    with pytest.raises(BrokerDiedError, match="the reason") as caught:
        broker.wait_until_open(deadline())
    assert "all well" not in str(caught.value)


def test_one_that_never_listens_is_not_waited_for_for_ever(broker):
    start(broker, "import threading; threading.Event().wait()")
    with pytest.raises(ClusterError, match="did not listen"):
        broker.wait_until_open(time.monotonic() + 0.2)
    assert inspect([broker])[0].state == "starting"


def test_a_program_that_does_not_exist_is_a_death_with_a_reason(broker):
    broker.start(["/does/not/exist", str(broker.properties)])
    with pytest.raises(BrokerDiedError, match=r"not found|No such file"):
        broker.wait_until_open(deadline())


def test_a_full_disk_is_diagnosed_from_the_log(broker):
    start(broker, "print('ERROR java.io.IOException: No space left on device')")
    with pytest.raises(BrokerDiedError):
        broker.wait_until_open(deadline())
    (status,) = inspect([broker])
    assert status.state == "died"
    assert "disk was full" in status.diagnosis
    assert "make room" in status.diagnosis


def test_the_log_of_the_run_before_is_kept(broker):
    for word in ("first", "second"):
        start(broker, f"print('{word}')")
        with pytest.raises(BrokerDiedError, match=word):
            broker.wait_until_open(deadline())
    assert "first" in broker.log.with_suffix(".log.1").read_text()
    assert broker.log.stat().st_mode & 0o777 == 0o600


def test_what_a_killed_one_had_unpacked_is_gone_at_the_next_start(broker):
    unpack = "import pathlib, sys; (pathlib.Path(sys.argv[1]).parent / 'tmp' / sys.argv[2]).touch();"
    start(broker, unpack + POLITE)
    broker.wait_until_open(deadline())
    (unpacked,) = broker.temporary.iterdir()
    broker.kill()
    assert unpacked.exists()
    start(broker, POLITE)
    broker.wait_until_open(deadline())
    assert list(broker.temporary.iterdir()) == []
    assert broker.temporary.stat().st_mode & 0o777 == 0o700


def test_a_jvm_unpacks_in_its_broker_s_directory(broker):
    jvm = Jvm(Path("java"), "25", (Path("a.jar"),), broker.directory)
    assert f"-Djava.io.tmpdir={broker.temporary}" in jvm.broker(broker.properties, broker.temporary)
