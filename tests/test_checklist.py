"""docs/checklist.md has every line of the list that the project was built from, each with places and proofs that exist.

The list as it was given stands in tests/golden/mission-checklist.md. The page repeats its headings, its lines and their
order. Under a ticked line stands where it is *Built:*, what it is *Shown:* by, where it wants an account *On AWS:* that
nobody has tried it there, and perhaps a *Note:*.
"""

import ast
import functools
import importlib
import inspect
import itertools
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from shopstream.rehearsal.life.phases import NAMES
from shopstream.topology import load
from tests import docs_commands

ROOT = Path(__file__).parent.parent
GIVEN = (ROOT / "tests" / "golden" / "mission-checklist.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "checklist.md").read_text(encoding="utf-8")
TOPOLOGY = load()

_BOX = re.compile(r"- \[([ x])\] ")
_PROOF = re.compile(r" *- \*Built:\* ")
_PART = re.compile(r"\*(Built|Shown|On AWS|Note):\* ")
_LINK = re.compile(r"\[[^]]*\]\(([^()\s]+)\)")
_SPAN = re.compile(r"`([^`]+)`")
_TEST = re.compile(r"(?:infra/terraform/)?tests/[\w./-]+(?:::\w+)*\Z")
# `name` in [file](where), and `one` and `another` in [file](where).
_NAMED_IN = re.compile(r"((?:`[^`]+`(?:,| and)?\s+)+)in\s+\[[^]]*\]\(([^()\s]+)\)")
_COMMAND = re.compile(r"(?:shopstream|make|git|python -m shopstream\S*|scripts/\S+\.sh)(?: |$)")
# What a line says that wants an account, or a package that the tests do not have.
_REAL = re.compile(
    r"AWS|EC2|VPC|CloudWatch|EventBridge|Control Center|eploy Lambdas|nsible.playbook|terraform (?:plan|apply|destroy)"
)


class Entry(NamedTuple):
    """A line of the list: a heading, a box or a plain item."""

    text: str
    ticked: bool = False
    proof: str = ""

    @property
    def depth(self):
        return len(self.text) - len(self.text.lstrip())

    @property
    def is_box(self):
        return _BOX.match(self.text.lstrip()) is not None


def entries(text):
    """The list in a text. Boxes are given as open ones; what stands behind `*Built:*` belongs to the entry before."""
    found, proving = [], False
    for line in text.splitlines():
        if _PROOF.match(line):
            found[-1] = found[-1]._replace(proof=line.strip())
            proving = True
        elif re.match(r"## | *- ", line):
            ticked = _BOX.match(line.lstrip())
            found.append(Entry(_BOX.sub("- [ ] ", line, count=1), bool(ticked and ticked[1] == "x")))
            proving = False
        elif proving and line.startswith("  "):
            found[-1] = found[-1]._replace(proof=f"{found[-1].proof} {line.strip()}")
        else:
            proving = False
    return found


def problems(page, given=GIVEN):
    """What is wrong with a page, one line each."""
    wanted, there = entries(given), items(page)
    yield from (f"missing, or at another place: {entry.text}" for entry in _lacking(wanted, there))
    yield from (f"not in the list: {entry.text}" for entry in _lacking(there, wanted))
    for place, entry in enumerate(there):
        if entry.is_box:
            yield from (f"{entry.text.strip()}: {wrong}" for wrong in _unproved(entry, there[place + 1 :]))
    yield from docs_commands.problems(page)


def items(page):
    """The list in a page, from its first phase on: what stands before is an introduction."""
    return entries(page[page.index("## Phase ") :])


def _lacking(wanted, there):
    """Those of one list that the other does not have, or not behind the one before it."""
    texts, at = [entry.text for entry in there], 0
    for entry in wanted:
        if entry.text in texts[at:]:
            at = texts.index(entry.text, at) + 1
        else:
            yield entry


def _unproved(entry, behind):
    """What is wrong with a box. Boxes in it prove it; its proof may stand behind its plain items."""
    if not entry.ticked:
        yield "not ticked"
    inside = list(itertools.takewhile(lambda other: other.depth > entry.depth and other.text[0] != "#", behind))
    if any(other.is_box for other in inside):
        return
    found = _PART.split(next((other.proof for other in (entry, *inside) if other.proof), ""))
    parts = dict(zip(found[1::2], found[2::2], strict=True))
    yield from _wrong_places(parts.get("Built", ""))
    yield from _wrong_proofs(parts.get("Shown", ""))
    if "On AWS" in parts and not parts["On AWS"].startswith("not tried"):
        yield "on AWS it was not tried, and that must be said"
    if _REAL.search(entry.text) and "On AWS" not in parts:
        yield "it wants an account: say what has not been tried"


def _wrong_places(built):
    """Each link leads to something that is there; each code span behind it stands in it."""
    if not _LINK.search(built):
        yield "no place where it is built"
    path = None
    for target, span in re.findall(rf"{_LINK.pattern}|{_SPAN.pattern}", built):
        if target:
            path = (ROOT / "docs" / target).resolve()
            if not path.exists():
                yield f"{target}: there is no such file"
        elif path is not None and path.exists() and not _holds(path, span):
            yield f"`{span}` is not in {path.relative_to(ROOT)}"


def _holds(path, span):
    """Whether a file has a word (a resource of Terraform by its address, too), a folder a file."""
    if path.is_dir():
        return (path / span).exists()
    text = path.read_text(encoding="utf-8")
    kind, _, name = span.partition(".")
    return span in text or f'resource "{kind}" "{name}"' in text


def _wrong_proofs(shown):
    """Each code span is a command, a test, or a phase of the rehearsal."""
    spans = _SPAN.findall(shown)
    if not spans:
        yield "nothing that shows it"
    for span in spans:
        file, _, name = span.partition("::")
        if _TEST.match(span):
            yield from _wrong_test(file, name)
        elif span not in NAMES and not _COMMAND.match(span):
            yield f"`{span}` is no command, no test and no phase of `make rehearse`"


def _wrong_test(file, name=""):
    if not (ROOT / file).exists():
        yield f"{file}: there is no such file"
    elif name and name not in in_test_file(ROOT / file):
        yield f"{file} has no {name}"


@functools.cache
def in_test_file(path):
    """What a file of tests holds: its functions, also as `Class::function`; of Terraform's, its runs."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".hcl":
        return frozenset(re.findall(r'^run "(\w+)"', text, re.MULTILINE))
    names = set()
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {node.name, *(f"{node.name}::{each.name}" for each in node.body if _is_test(each))}
    return frozenset(names)


def _is_test(node):
    return isinstance(node, ast.FunctionDef) and node.name.startswith("test_")


def test_every_line_of_the_list_is_ticked_with_its_place_and_its_proof():
    assert list(problems(PAGE)) == []


def test_there_is_something_to_check():
    assert sum(entry.is_box for entry in entries(GIVEN)) > 100
    assert sum(bool(entry.proof) for entry in items(PAGE)) > 80
    assert len({span for entry in items(PAGE) for span in _SPAN.findall(entry.proof) if "::" in span}) > 40


class TestNames:
    """What the list calls by a name has that name."""

    def test_every_path_exists(self):
        named = {span.rstrip("/") for span in re.findall(r"`([\w./]*[/.][\w./]*)`", GIVEN)}
        # One is Kafka's own, one is a choice that was not taken, one is generated, and some are named without a folder.
        named -= {"kafka-topics.sh", "poetry/pyproject.toml", "inventory.ini", "advertised.listeners"}
        folders = ("", "infra/terraform", "scripts", "tests", "services/hello_world")
        assert len(named) > 15
        assert [name for name in sorted(named) if not any((ROOT / folder / name).exists() for folder in folders)] == []

    @pytest.mark.parametrize(
        ("service", "function", "arguments"),
        [
            ("order_generator", "generate_order_event", ()),
            ("payment_processor", "process_payment", ("order_event",)),
            ("inventory_manager", "check_inventory", ("order_event",)),
            ("shipping_handler", "ship_order", ("payment_result",)),
            ("notification_handler", "notify", ("...",)),
        ],
    )
    def test_each_service_has_its_handler_and_its_core(self, service, function, arguments):
        assert f"`{function}({', '.join(arguments)})`" in GIVEN
        module = importlib.import_module(f"services.{service}.{service}")
        assert tuple(inspect.signature(module.handler).parameters) == ("event", "context")
        core = inspect.signature(getattr(module, function))
        core.bind(*arguments)
        if "..." not in arguments:
            required = [name for name, each in core.parameters.items() if each.default is inspect.Parameter.empty]
            assert tuple(required) == arguments

    def test_the_users_and_topics_are_in_the_topology(self):
        users = GIVEN.partition("SCRAM users for each microservice")[2].partition("Set ACLs")[0]
        topics = GIVEN.partition("Create topics:")[2].partition("Run a check")[0]
        assert tuple(_SPAN.findall(users)) == tuple(TOPOLOGY.services)
        assert len(_SPAN.findall(topics)) == 5
        assert set(_SPAN.findall(topics)) <= set(TOPOLOGY.topics)

    def test_the_services_read_and_write_what_the_list_says(self):
        lines = re.findall(r"- \[ \] `(\w+)` → (.*)", GIVEN)
        assert len(lines) == 5
        for name, what in lines:
            reads, _, writes = what.partition("publish")
            service = TOPOLOGY.services[name]
            assert set(_SPAN.findall(reads)) <= set(service.consumes)
            assert set(_SPAN.findall(writes)) <= set(service.produces)


def loose_ends(page, folder=ROOT / "docs"):
    """Tests that a page names and that are not there, and names that are not in the file in which it says they are."""
    page = docs_commands.outside(page)
    for span in _SPAN.findall(page):
        if _TEST.match(span):
            yield from _wrong_test(*span.split("::", 1))
    for names, target in _NAMED_IN.findall(page):
        path = (folder / target.partition("#")[0]).resolve()
        for name in _SPAN.findall(names):
            last = re.split(r"\.(?=\w+$)", name)[-1]
            if path.is_file() and last not in path.read_text(encoding="utf-8"):
                yield f"`{name}` is not in {target}"


def explained(page):
    """The messages in the first column of tables that begin with `when it says`."""
    for table in re.findall(r"^\| when it says .*\n\|.*\n((?:\|.*\n)+)", page, re.MULTILINE):
        for row in table.splitlines():
            spans = _SPAN.findall(row.split(" | ")[0])
            yield from (span for span in spans if not span.startswith(("terraform ", "ansible-playbook ")))


def unsaid(page):
    """Those that neither the scripts nor Terraform's rules nor the playbooks say; `…` stands for what varies."""
    files = [*(ROOT / "src/shopstream/aws").rglob("*.py"), *(ROOT / "infra/terraform").glob("*.tf")]
    files += (ROOT / "infra/ansible").rglob("*.yml")
    # In Python, a message may be broken into strings that stand one below the other.
    said = " ".join(re.sub(r'"\s+f?"', "", path.read_text(encoding="utf-8")) for path in files)
    said = " ".join(said.split())
    for message in explained(page):
        if any(part.strip() not in said for part in message.split("…")):
            yield message


class TestOtherPages:
    """What they name is there, too."""

    @pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
    def test_tests_and_names_in_files_exist(self, page):
        assert list(loose_ends(page.read_text(encoding="utf-8"), page.parent)) == []

    def test_the_messages_that_the_deployment_s_page_explains_are_said_somewhere(self):
        page = (ROOT / "docs" / "aws.md").read_text(encoding="utf-8")
        assert len(list(explained(page))) > 12
        assert list(unsaid(page)) == []
        wrong = page.replace("`still there, and listed above`", "`still there, and shown below`")
        assert list(unsaid(wrong)) == ["still there, and shown below"]

    def test_a_planted_mistake_is_found(self):
        page = "`tests/test_no.py`, `tests/test_worker.py::test_no`; `run` and `walk` in\n[it](../services/__init__.py)"
        assert list(loose_ends(page)) == [
            "tests/test_no.py: there is no such file",
            "tests/test_worker.py has no test_no",
            "`run` is not in ../services/__init__.py",
            "`walk` is not in ../services/__init__.py",
        ]

    def test_there_is_something_to_check(self):
        page = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
        assert sum(map(len, (_SPAN.findall(names) for names, _ in _NAMED_IN.findall(page)))) > 10
        assert sum(bool(_TEST.match(span)) for span in _SPAN.findall(page)) > 40


SMALL = """# List

## Phase A: Begin

- [ ] **A1: Folders**
  - [ ] Create:
    - `services/`
  - [ ] Confirm in AWS.

## Notes

- [ ] **Clean up**:
  - [ ] Say so in `README.md`.
"""
FINE = """# Page

- no item: this is the introduction

## Phase A: Begin

- [x] **A1: Folders**
  - [x] Create:
    - `services/`
    - *Built:* [services](../services) `hello_world`. *Shown:* `make test-fast`,
      `tests/test_hello_world.py::test_hello_says_hello_world`.
  - [x] Confirm in AWS.
    - *Built:* [main.tf](../infra/terraform/main.tf) `aws_s3_bucket.artifacts`. *Shown:* `make rehearse`, phase
      `infrastructure`; `infra/terraform/tests/services.tftest.hcl::at_rest`. *On AWS:* not tried;
      `scripts/deploy_all.sh`.

## Notes

- [x] **Clean up**:
  - [x] Say so in `README.md`.
    - *Built:* [README.md](../README.md). *Shown:* `tests/test_docs_links.py`.
"""


def test_what_is_right_passes():
    assert list(problems(FINE, SMALL)) == []


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("  - [x] Confirm in AWS.", "  - [ ] Confirm in AWS.", "not ticked"),
        ("- [x] **Clean up**", "- [ ] **Clean up**", "not ticked"),
        ("    - `services/`\n", "", "missing, or at another place:     - `services/`"),
        ("## Notes\n", "", "missing, or at another place: ## Notes"),
        ("  - [x] Confirm in AWS.", "  - [x] Confirm it in AWS.", "another place:   - [ ] Confirm in AWS."),
        ("  - [x] Create:", "  - [x] Invented.\n  - [x] Create:", "not in the list:   - [ ] Invented."),
        ("(../services)", "(../service)", "../service: there is no such file"),
        ("`hello_world`. *Shown:*", "`bye_world`. *Shown:*", "`bye_world` is not in services"),
        ("`aws_s3_bucket.artifacts`", "`aws_s3_bucket.artefacts`", "`aws_s3_bucket.artefacts` is not in infra/terr"),
        ("[README.md](../README.md)", "README.md", "no place where it is built"),
        ("`tests/test_docs_links.py`", "a look", "nothing that shows it"),
        ("`tests/test_docs_links.py`", "`tests/test_docs_limks.py`", "tests/test_docs_limks.py: there is no such file"),
        ("says_hello_world", "says_hello", "tests/test_hello_world.py has no test_hello_says_hello"),
        ("hcl::at_rest", "hcl::at_work", "infra/terraform/tests/services.tftest.hcl has no at_work"),
        ("`infrastructure`", "`infra`", "`infra` is no command, no test and no phase"),
        ("`make test-fast`", "`make test-fats`", "the Makefile has no such target"),
        ("`scripts/deploy_all.sh`", "`scripts/deploy.sh`", "there is no such file"),
        (" *On AWS:* not tried;\n      `scripts/deploy_all.sh`.", "", "it wants an account"),
        ("*On AWS:* not tried;", "*On AWS:* works;", "that must be said"),
        ("    - *Built:* [README.md](../README.md). *Shown:* `tests/test_docs_links.py`.\n", "", "no place"),
    ],
)
def test_a_planted_mistake_is_found(right, wrong, complaint):
    assert right in FINE
    found = list(problems(FINE.replace(right, wrong, 1), SMALL))
    assert any(complaint in line for line in found), found
