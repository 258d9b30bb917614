"""A service's code is found beside its topology or in the package, and asked for by name before anything starts."""

import textwrap
from pathlib import Path

import pytest
from click.testing import CliRunner

import services
from shopstream.cli.run import run
from shopstream.errors import UsageError
from shopstream.runtime.processor import check_cores, core_of, look_beside, processor_for
from shopstream.runtime.supervisor import Supervisor
from shopstream.topology import default_path, load

OWN = Path(services.__file__).parent
ENTRY = "services:\n  fraud_checker:\n    consumes: [order_placed]\n    options: {limit: 5}\n"
REACT = "def react(event, *, limit):\n    return ()\n"


@pytest.fixture
def project(tmp_path):
    """A directory with a topology of its own, which has one service more."""
    text = default_path().read_text(encoding="utf-8")
    (tmp_path / "topology.yaml").write_text(text.replace("services:\n", ENTRY, 1), encoding="utf-8")
    return tmp_path


def write(project, source, name="fraud_checker"):
    path = project / "services" / name / f"{name}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source), encoding="utf-8")
    return path


def loaded(project):
    look_beside(project / "topology.yaml")
    topology = load(project / "topology.yaml")
    return topology, topology.services["fraud_checker"]


def test_it_is_found_beside_the_topology_with_no_package_around_it(project):
    path = write(project, REACT)
    topology, service = loaded(project)
    check_cores(topology)
    assert core_of(service).__file__ == str(path)


def test_the_shop_s_own_are_found_in_the_package_all_the_same(project):
    write(project, REACT)
    topology, _ = loaded(project)
    assert Path(core_of(topology.services["payment_processor"]).__file__).is_relative_to(OWN)


def test_what_lies_beside_the_topology_comes_before_the_shop_s_own(project):
    path = write(project, REACT, "fraud_checker")
    look_beside(project / "topology.yaml")
    look_beside(project / "topology.yaml")
    assert services.__path__[0] == str(path.parents[1])
    assert services.__path__.count(str(path.parents[1])) == 1


def test_a_service_without_code_is_named_with_the_places_where_it_was_looked_for(project):
    topology, service = loaded(project)
    for look in (lambda: check_cores(topology), lambda: core_of(service), lambda: processor_for(topology, service)):
        with pytest.raises(
            UsageError, match="'fraud_checker' of the topology has no code: write fraud_checker/"
        ) as told:
            look()
        assert str(project / "services") in str(told.value)
        assert str(OWN) in str(told.value)


def test_looking_for_code_runs_none_of_it(project):
    write(project, "raise RuntimeError")
    check_cores(loaded(project)[0])


def test_a_module_that_it_cannot_import_is_not_taken_for_itself(project):
    write(project, "import no_such_module_of_anybody")
    _, service = loaded(project)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_of_anybody"):
        core_of(service)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("def handle(event): ...", r"fraud_checker has no function 'react', which a service needs that answers to rec"),
        ("def react(event): ...", r"fraud_checker.react cannot be called .*\(options: limit\): .*'limit'"),
        ("def react(event, *, limit, rate): ...", r"fraud_checker.react cannot be called .*'rate'"),
    ],
)
def test_a_core_that_does_not_fit_its_entry_is_refused_before_the_first_record(project, source, complaint):
    write(project, source)
    with pytest.raises(UsageError, match=complaint):
        processor_for(*loaded(project))


def test_a_service_with_state_needs_a_join(project):
    write(project, REACT)
    text = (project / "topology.yaml").read_text(encoding="utf-8")
    text = text.replace("    options: {limit: 5}\n", "    state: fraud_state\n", 1)
    text = text.replace("topics:\n", "topics:\n  fraud_state: {compacted: true}\n", 1)
    (project / "topology.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="no function 'join', which a service needs that has state"):
        processor_for(*loaded(project))


def test_a_run_says_so_before_it_starts_anything(project, monkeypatch):
    monkeypatch.setenv("SHOPSTREAM_HOME", str(project / "home"))
    done = CliRunner().invoke(run, ["--orders", "1", "--topology", str(project / "topology.yaml")])
    assert isinstance(done.exception, UsageError)
    assert "service 'fraud_checker' of the topology has no code" in str(done.exception)
    assert not (project / "home").exists()


def test_the_variable_names_the_topology_as_the_option_does(project, monkeypatch):
    monkeypatch.setenv("SHOPSTREAM_HOME", str(project / "home"))
    monkeypatch.setenv("SHOPSTREAM_TOPOLOGY", str(project / "topology.yaml"))
    assert "'fraud_checker'" in str(CliRunner().invoke(run, ["--orders", "1"]).exception)


def test_a_process_takes_no_folder_of_the_current_directory_for_a_package(tmp_path, monkeypatch):
    """Somebody's own `services` or `click.py` lies there, and has nothing to do with this."""
    from shopstream.runtime.process import Task

    (tmp_path / "msgspec.py").write_text("raise RuntimeError('this is not msgspec')", encoding="utf-8")
    (tmp_path / "services").mkdir()
    (tmp_path / "services" / "__init__.py").write_text("raise RuntimeError('these are other services')", "utf-8")
    monkeypatch.chdir(tmp_path)
    task = Task(service="payment_processor", cluster=str(tmp_path / "no.properties"))
    supervisor = Supervisor([task], tmp_path / "logs", print)
    supervisor.start()
    (child,) = supervisor._children
    assert child._process.wait(60) == UsageError.exit_code
    supervisor.stop()
    said = (tmp_path / "logs" / "payment_processor-0.log").read_text(encoding="utf-8")
    assert "no.properties: cannot be read" in said or "payment_processor.properties: not found" in said, said
