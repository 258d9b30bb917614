"""What the documentation says one can type is typed: all commands of a page in one shell, in their order.

That is each command of a code block, unless a comment before the block says why it is not run (tests/docs_commands.py
reads both), and each example in the help of a command, which docs/reference/cli.md shows. Pages of `EXECUTED_BY` have a
test of their own. Every command must end with exit code 0, and print what the page shows below it.
"""

import json
import re
import shutil
from typing import NamedTuple

import pytest

from shopstream.cluster.home import Home
from shopstream.cost.plan import SAMPLE
from shopstream.reference.commands import entries, programs
from tests.docs_commands import EXECUTED_BY, ROOT, blocks, pages, unfounded
from tests.integration.checkout import Checkout

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(600)]

WITHIN = 300  # seconds, for a page
NOT_RUN = {
    "SHOPSTREAM_HOME=/tmp/other": "it would take the default ports",
    "shopstream up --brokers 3": "not beside one broker; `tests/integration/test_cluster_life.py` starts three",
    "shopstream run --orders 50000": "half a minute; `tests/integration/test_run.py` has rates and more workers",
    "shopstream run --orders 2000 --on lambda": "minutes; `tests/integration/test_run_lambda.py` sends fewer",
    "shopstream demo": "`make demo` calls it, which README.md has",
    "shopstream lambda run": "it ends by Ctrl-C; `tests/integration/test_run_lambda.py` presses it",
    "shopstream topology apply --cluster": "for three brokers; `tests/integration/test_topology_apply.py` has one",
    "python -m shopstream.aws": "needs an AWS account; `make rehearse` calls most of them on a stand-in",
    "scripts/": "needs an AWS account; `make rehearse` calls them on a stand-in",
    "shopstream rehearse": "root, and machines; `make rehearse`, `make test-machines` and `make test-hosts` call them",
}
"""Examples that are not run, by how they begin, and why."""
OF_A_RUN = "--run-id demo-20261127-080000"
"""An example asks for this run."""


class Story(NamedTuple):
    """What is typed into one shell, what is then shown, and whether in the checkout or in a directory beside it."""

    name: str
    commands: list[tuple[str, str]]
    beside: bool = False

    @property
    def on_lambda(self):
        """Whether it needs what the tests of Lambda functions need."""
        return any(re.search(r"\blambda\b", command) for command, _ in self.commands)

    @property
    def last(self):
        """Functions write events without a cause, which audits find; when the cluster is down, all is over."""
        return self.on_lambda + 2 * any("shopstream down" in command for command, _ in self.commands)


def of_pages():
    """Stories of the pages that have something to type."""
    for page in pages():
        name = str(page.relative_to(ROOT))
        typed = [pair for block in blocks(page.read_text(encoding="utf-8")) for pair in block.executed]
        if typed and name not in EXECUTED_BY:
            yield Story(name, typed)


def examples():
    """Each example with the command whose help has it. What groups show stands with their commands, too."""
    found = {}
    for entry in (entry for name, program in programs().items() for entry in entries(name, program)):
        for line in entry.command.get_help(entry.context).partition("\n  Examples:\n")[2].splitlines():
            found[line.strip()] = entry.title
    return found


def of_examples():
    """Stories of the commands' help."""
    run = {line: title for line, title in examples().items() if not line.startswith(tuple(NOT_RUN))}
    for title in dict.fromkeys(run.values()):
        yield Story(f"{title} --help", [(line, "") for line in run if run[line] == title], beside=True)


STORIES = sorted([*of_pages(), *of_examples()], key=lambda story: story.last)


@pytest.fixture(scope="module")
def checkout(new_cluster, tmp_path_factory):
    """A copy of the checkout, with a cluster that is up."""
    cluster = new_cluster()
    cluster.up()
    shutil.rmtree(cluster.home.cache, ignore_errors=True)
    cluster.home.cache.symlink_to(cluster._cache)  # what is already downloaded
    return Checkout(tmp_path_factory.mktemp("checkout"), cluster.home.root)


@pytest.fixture(scope="module")
def beside(checkout, tmp_path_factory):
    """A directory with the files that the examples name."""
    folder = tmp_path_factory.mktemp("beside")
    (folder / "clients").symlink_to(Home(checkout.home).clients)
    hello = {"code": str(ROOT / "services" / "hello_world"), "handler": "hello_world.handler"}
    for name, content in {
        "event.json": {"orders": 3},
        "functions.yaml": {"functions": {"my-function": hello}},
        "plan.json": json.loads((ROOT / "src" / "shopstream" / "cost" / SAMPLE).read_text(encoding="utf-8")),
    }.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    (folder / "my").mkdir()
    shutil.copyfile(ROOT / "topology.yaml", folder / "my" / "topology.yaml")
    return folder


@pytest.mark.parametrize(
    "story",
    [pytest.param(story, id=story.name, marks=[pytest.mark.infra] * story.on_lambda) for story in STORIES],
)
def test_what_can_be_typed_does_what_is_said(checkout, story, request, tmp_path):
    for folder in (".zfunc", ".config/fish/completions", ".local/share/bash-completion/completions"):
        (tmp_path / folder).mkdir(parents=True)
    home = {} if story.on_lambda else {"HOME": str(tmp_path)}  # a CPython 3.13 may lie in one's own
    where = request.getfixturevalue("beside") if story.beside else checkout.folder
    typed = [command for command, _ in story.commands]
    if any(OF_A_RUN in command for command in typed):
        checkout.type(f"shopstream run --orders 100 {OF_A_RUN}", within=WITHIN)
    all_printed = checkout.type(*typed, folder=where, within=WITHIN, **home)
    for (command, shown), printed in zip(story.commands, all_printed, strict=True):
        for part in shown.split("…"):  # which stands for other lines
            assert part.strip("\n") in printed, f"{command} prints:\n{printed}"


def test_what_is_said_of_the_other_examples_is_so():
    for begin, reason in NOT_RUN.items():
        assert any(line.startswith(begin) for line in examples()), begin
        assert list(unfounded(reason)) == []
