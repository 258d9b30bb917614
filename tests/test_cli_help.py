"""The help of every command ends with calls that can be typed as they stand, and shells complete what is there."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from shopstream import __version__
from shopstream.cli.common import TOPOLOGY, checkout, examples
from shopstream.cli.main import COMMANDS, LazyGroup, cli
from shopstream.errors import UsageError
from shopstream.reference.commands import entries, programs
from tests.docs_commands import Wrong, called, check, simple

ENTRIES = list(entries("shopstream", cli))
ALL = [entry for name, program in programs().items() for entry in entries(name, program)]
IDS = [entry.title for entry in ALL]


def examples_of(entry):
    """The lines of a command's examples, as its help shows them."""
    text = entry.command.get_help(entry.context)
    assert "\n  Examples:\n" in text, f"{entry.title} has no examples"
    return [line.strip() for line in text.partition("\n  Examples:\n")[2].splitlines()]


@pytest.fixture(autouse=True)
def without_a_topology_of_one_s_own(monkeypatch):
    monkeypatch.delenv(TOPOLOGY, raising=False)


@pytest.mark.parametrize("entry", ALL, ids=IDS)
def test_each_command_has_examples_that_can_be_typed(entry):
    lines = examples_of(entry)
    assert 1 <= len(lines) <= 4
    own = 0
    for line in lines:
        for words in simple(line):
            if words[0] != "echo":
                check(words, marked=False)
                own += f"{shlex.join(words)} ".startswith(f"{entry.title} ")
    assert own, f"none of the examples calls {entry.title}"


@pytest.mark.parametrize("entry", ALL, ids=IDS)
def test_examples_keep_to_their_lines(entry):
    narrow = click.Context(entry.command, info_name=entry.title, terminal_width=80)
    help_text = entry.command.get_help(narrow)
    shown = help_text.partition("\n  Examples:\n")[2].splitlines()
    assert [line.strip() for line in shown] == examples_of(entry)
    assert all(line.startswith("    ") for line in shown)
    assert max(map(len, shown)) <= 100


@pytest.mark.parametrize(
    "line", ["shopstream rum", "shopstream run --order 1", "shopstream topology", "shopstream env x"]
)
def test_a_planted_mistake_would_be_found(line):
    with pytest.raises(Wrong):
        called(cli, "shopstream", shlex.split(line)[1:])


def test_the_examples_are_the_end_of_the_help():
    @click.command(epilog=examples("a --b  'c'", "d"))
    def planted():
        """What it does."""

    assert CliRunner().invoke(planted, ["--help"]).output.endswith("\n\n  Examples:\n    a --b  'c'\n    d\n")


def test_every_command_is_in_the_list_with_its_line():
    assert [entry.words[1] for entry in ENTRIES if len(entry.words) == 2] == list(COMMANDS)
    assert len(ENTRIES) > 30


def test_the_version_is_told():
    assert (
        CliRunner().invoke(cli, ["--version"], prog_name="shopstream").output == f"shopstream, version {__version__}\n"
    )


def test_what_needs_a_checkout_says_so_and_what_to_do_next(tmp_path, monkeypatch):
    assert (checkout("it") / "topology.yaml").is_file()
    monkeypatch.setattr("shopstream.cli.common.__file__", str(tmp_path / "a" / "shopstream" / "cli" / "common.py"))
    with pytest.raises(UsageError, match=r"^it needs a checkout .* clone the project, and call `make rehearse` there"):
        checkout("it")


def test_the_topology_can_be_taken_to_begin_one_s_own(tmp_path):
    text = CliRunner().invoke(cli, ["topology", "show", "--yaml"]).output
    own = tmp_path / "own.yaml"
    own.write_text(text.replace("approval_rate: 0.9", "approval_rate: 0.5"), encoding="utf-8")
    shown = CliRunner().invoke(cli, ["topology", "show", "--json"], env={TOPOLOGY: str(own)}).output
    assert json.loads(shown)["services"]["payment_processor"]["options"]["approval_rate"] == 0.5
    again = CliRunner().invoke(cli, ["topology", "show", "--yaml", "--file", str(own)]).output
    assert again == own.read_text(encoding="utf-8")


class TestCompletion:
    """click's own, asked as a shell would ask it."""

    @staticmethod
    def ask(*words):
        environment = {
            **os.environ,
            "_SHOPSTREAM_COMPLETE": "bash_complete",
            "COMP_WORDS": shlex.join(["shopstream", *words]),
            "COMP_CWORD": str(len(words)),
        }
        code = "import sys; sys.argv[0] = 'shopstream'; from shopstream.cli.main import main; main()"
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    @pytest.mark.parametrize(
        ("words", "found"),
        [
            (["ru"], ["run"]),
            (["topology", "a"], ["acls", "apply"]),
            (["run", "--gu"], ["--guarantee"]),
            (["run", "--guarantee", "exa"], ["exactly-once"]),
            (["rehearse", "hosts", "un"], ["unplug"]),
        ],
    )
    def test_commands_options_and_values(self, words, found):
        assert self.ask(*words) == found

    def test_all_commands_without_importing_any(self, monkeypatch):
        monkeypatch.setattr(LazyGroup, "get_command", lambda *_: pytest.fail("imported"))
        context = click.Context(cli, info_name="shopstream")
        assert [item.value for item in cli.shell_complete(context, "")][: len(COMMANDS)] == list(COMMANDS)
        (found,) = cli.shell_complete(context, "aud")
        assert (found.value, found.help) == ("audit", COMMANDS["audit"][1])

    @pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
    def test_what_is_printed_is_click_s_own_for_this_program(self, shell):
        script = CliRunner().invoke(cli, ["completion", shell]).output
        assert f"_SHOPSTREAM_COMPLETE={shell}_complete" in script
        assert re.search(r"\bcomplet\w+ .*shopstream|compdef .*shopstream", script)
        if shutil.which(shell):
            done = subprocess.run([shell, "-n"], input=script, capture_output=True, text=True, check=False, timeout=60)
            assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.skipif(not shutil.which("bash"), reason="there is no bash")
    def test_bash_completes_with_it(self, tmp_path):
        (tmp_path / "shopstream").write_text(
            f"#!{sys.executable}\nfrom shopstream.cli.main import main\nmain()\n", encoding="utf-8"
        )
        (tmp_path / "shopstream").chmod(0o755)
        ask = (
            'eval "$(shopstream completion bash)"\nCOMP_WORDS=(shopstream au)\nCOMP_CWORD=1\n'
            '_shopstream_completion shopstream au shopstream\necho "${COMPREPLY[@]}"\n'
        )
        environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(
            ["bash", "-c", ask], env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.stdout == "audit\n", done.stderr

    def test_another_shell_is_refused(self):
        assert CliRunner().invoke(cli, ["completion", "tcsh"]).exit_code == 2
