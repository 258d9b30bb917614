"""Which phases a command means, what is remembered between two of them, and that a failure clears away."""

import os
import sys

import pytest

from shopstream.errors import RehearsalError, UsageError
from shopstream.rehearsal.life import ending, phases
from shopstream.rehearsal.life.record import Record, Result
from shopstream.rehearsal.life.rehearsal import RUNS, Rehearsal
from shopstream.rehearsal.life.world import World


def names(**given):
    return [phase.name for phase in phases.chosen(**given)]


def test_without_options_all_phases_and_with_keep_all_but_the_last():
    assert names() == list(phases.NAMES)
    assert names(keep=True) == list(phases.NAMES[:-1])
    assert set(RUNS) == set(phases.NAMES)


def test_a_later_beginning_stands_on_what_was_done():
    done = {"needs", "supplies", "zips", "ground", "infrastructure", "boot", "firewall", "configure", "poll", "flow"}
    assert names(begin="judge", done=done) == ["judge", "faults", "change", "teardown"]
    assert names(only="change", done=done) == ["change"]
    with pytest.raises(RehearsalError, match="faults stands on boot"):
        names(begin="faults", done=done - {"boot"})


def test_the_teardown_needs_nothing_but_a_ground():
    assert names(only="teardown", done={"ground"}) == ["teardown"]


def test_wrong_use_is_named():
    with pytest.raises(UsageError, match="no phase 'flwo'; there are: needs, supplies"):
        names(only="flwo")
    with pytest.raises(UsageError, match="exclude each other"):
        names(only="flow", begin="flow")


def test_a_record_is_read_as_it_was_written(tmp_path):
    record = Record.read(tmp_path)
    record.put(Result("needs", 1.0, 2.0, ok=True, counts={"a": "1"}))
    record.put(Result("zips", 3.0, error="broken"))
    again = Record.read(tmp_path)
    assert again == record
    assert again.done == {"needs"}
    (tmp_path / "rehearsal.json").write_text("{")
    with pytest.raises(RehearsalError, match="delete it"):
        Record.read(tmp_path)


@pytest.fixture
def cleared(monkeypatch):
    calls = []
    monkeypatch.setattr(ending, "clear", lambda world: calls.append("cleared"))
    return calls


@pytest.fixture
def world(tmp_path):
    return World(tmp_path, tmp_path / "home", tmp_path / "cache", {}, lambda _: None)


def rehearsal(world, said, failing=()):
    def phase(name):
        def run(world, result):
            said.append(name)
            if name in failing:
                raise failing[name]
            result.counts["done"] = name

        return run

    return Rehearsal(world, runs={name: phase(name) for name in phases.NAMES})


def test_all_of_it_in_order_with_a_log_each(world, cleared):
    said = []
    assert rehearsal(world, said).run()
    assert said == list(phases.NAMES)
    assert cleared == ["cleared"]  # before; what the teardown leaves is its own matter
    assert len(list(world.logs.glob("*.log"))) == len(phases.NAMES)


def test_a_failure_ends_it_is_remembered_and_cleared_away(world, cleared):
    said = []
    assert not rehearsal(world, said, {"boot": RehearsalError("no SSH")}).run()
    assert said[-1] == "boot"
    assert Record.read(world.directory).results["boot"].error == "no SSH"
    assert cleared == ["cleared", "cleared"]


def test_with_keep_it_can_go_on_from_there(world, cleared):
    said = []
    assert not rehearsal(world, said, {"judge": RehearsalError("no")}).run(keep=True)
    assert cleared == ["cleared"]
    said.clear()
    again = World(world.source, world.home, world.cache, {}, lambda _: None)
    assert rehearsal(again, said).run(begin="judge", keep=True)
    assert said == ["judge", "faults", "change"]
    assert cleared == ["cleared"]


def test_an_interruption_is_remembered_and_cleared_away(world, cleared):
    with pytest.raises(KeyboardInterrupt):
        rehearsal(world, [], {"flow": KeyboardInterrupt()}).run()
    assert Record.read(world.directory).results["flow"].error == "interrupted"
    assert cleared == ["cleared", "cleared"]


def test_a_second_one_in_the_same_directory_is_refused_at_once_and_changes_nothing(world, cleared):
    refused, said = [], []

    def while_it_runs(world, result):
        again = World(world.source, world.home, world.cache, {}, lambda _: None)
        with pytest.raises(UsageError, match=rf"pid {os.getpid()}\) is at work in {world.directory}") as caught:
            rehearsal(again, said).run(keep=True)
        refused.append(caught.value)

    first = rehearsal(world, [])
    first._runs = {**first._runs, "flow": while_it_runs}
    assert first.run()
    assert (len(refused), said, cleared) == (1, [], ["cleared"])
    assert rehearsal(world, said).run()


def test_ssh_s_connections_lie_where_clearing_away_finds_them(world):
    world.directory.mkdir(parents=True)
    world.environ["TERRAFORM_PLUGIN_MIRROR"] = "none"
    code = "import os; print(os.environ['ANSIBLE_SSH_CONTROL_PATH_DIR'])"
    said = world.call([sys.executable, "-c", code], inside=False)
    assert said.strip() == str(world.hosts.state.sockets) == f"/tmp/ss-{world.hosts.state.tag}"
