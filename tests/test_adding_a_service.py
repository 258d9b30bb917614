"""docs/adding-a-service.md shows what is so: its code keeps to the project's rules, its entries give what it shows."""

import subprocess
import sys

import pytest
from click.testing import CliRunner

from shopstream.cli.main import cli
from shopstream.topology import load
from tests import adding
from tests.adding import ANSWERS, NAME, READS
from tests.test_layers import violations

SECTIONS = {"reads": [READS], "answers": [READS, ANSWERS]}


@pytest.fixture(params=SECTIONS)
def sections(request):
    return SECTIONS[request.param]


@pytest.fixture
def project(sections, tmp_path):
    """A directory that follows the page as far as these sections go."""
    for name in ("topology.yaml", "pyproject.toml"):
        (tmp_path / name).write_bytes((adding.ROOT / name).read_bytes())
    for title in sections:
        adding.carry_out(title, tmp_path)
    return tmp_path


def test_the_page_s_code_is_in_the_project_s_style(project):
    for words in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        command = [sys.executable, "-m", "ruff", *words, "services"]
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr


def test_it_keeps_to_its_layer(project):
    source = (project / "services" / NAME / f"{NAME}.py").read_text(encoding="utf-8")
    assert violations(f"services.{NAME}.{NAME}", source) == []


def test_the_topology_is_sound_and_gives_what_the_page_shows(project, sections):
    shown = {command: lines for command, lines in adding.shown(sections[-1]).items() if "topology" in command}
    assert "shopstream topology check" in shown
    for command, lines in shown.items():
        output = CliRunner().invoke(cli, [*command.split()[1:], "--file", str(project / "topology.yaml")]).output
        for part in "\n".join(lines).split("…"):  # which stands for other lines
            assert part.strip("\n") in output, f"{command} prints:\n{output}"


def test_the_service_is_an_onlooker_with_the_workers_group_and_one_for_each_mapping(project):
    topology = load(project / "topology.yaml")
    service = topology.services[NAME]
    assert service.groups == (NAME, f"{NAME}.order_placed")
    assert topology.onlookers == (service,)


def test_an_entry_that_is_there_already_is_replaced(tmp_path):
    (tmp_path / "topology.yaml").write_bytes((adding.ROOT / "topology.yaml").read_bytes())
    for title in (READS, READS, ANSWERS, ANSWERS):
        adding.carry_out(title, tmp_path)
    text = (tmp_path / "topology.yaml").read_text(encoding="utf-8")
    assert text.count("fraud_checker:") == text.count("fraud_result:") == 1
