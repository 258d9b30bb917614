"""The reference is what code and topology.yaml say today, complete, the same everywhere; what is stale is noticed."""

import importlib.util
import inspect
import os
import re
import subprocess
import sys
from itertools import chain
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from shopstream import errors, topology
from shopstream.errors import ShopstreamError
from shopstream.reference import commands, errors_page, markdown, meanings, pages, reading, schema
from shopstream.topology import Acl

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reference"
SCRIPT = ROOT / "scripts" / "reference.py"
TOPOLOGY = topology.load(ROOT / "topology.yaml")
PAGES = pages.render(TOPOLOGY)


def script():
    spec = importlib.util.spec_from_file_location("reference_script", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def rows(text, heading):
    """The cells of the table that follows a heading, without its head."""
    part = text.split(f"\n{heading}\n", 1)[1].split("\n#", 1)[0]
    lines = [line.strip("|").split(" | ") for line in part.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line] for line in lines if set(line[0].strip()) != {"-"}][1:]


def names(cell):
    return tuple(re.findall(r"`([^`]+)`", cell))


class TestFreshness:
    @pytest.mark.parametrize("name", PAGES)
    def test_a_committed_page_is_up_to_date(self, name):
        found = (FOLDER / name).read_text(encoding="utf-8")
        assert found == PAGES[name], "run `python scripts/reference.py` and look at what changed"

    def test_nothing_else_lies_there(self):
        assert {path.name for path in FOLDER.iterdir()} == set(PAGES)

    def test_the_pages_do_not_depend_on_who_makes_them(self, tmp_path):
        """Another terminal, language, time zone and order of sets, and a deployment of another name."""
        odd = {"COLUMNS": "40", "LANG": "de_DE.UTF-8", "TZ": "Asia/Tokyo", "PYTHONHASHSEED": "7", "TF_VAR_name": "mine"}
        write = [sys.executable, str(SCRIPT), "--output", str(tmp_path)]
        subprocess.run(write, env=os.environ | odd, capture_output=True, check=True, timeout=120, cwd="/")
        assert pages.stale(tmp_path, PAGES) == []


class TestScript:
    def test_it_names_each_file_that_is_stale_missing_or_superfluous_and_the_remedy(self, tmp_path, capsys):
        main = script().main
        assert main(["--output", str(tmp_path)]) == 0
        assert main(["--output", str(tmp_path), "--check"]) == 0
        capsys.readouterr()
        (tmp_path / "cli.md").write_text(PAGES["cli.md"].replace("--orders", "--order"), encoding="utf-8")
        (tmp_path / "events.md").unlink()
        (tmp_path / "old.md").write_text("", encoding="utf-8")
        assert main(["--output", str(tmp_path), "--check"]) == 1
        remedy = "run `python scripts/reference.py`"
        assert capsys.readouterr().err.splitlines() == [
            f"{tmp_path}/cli.md is stale: {remedy}",
            f"{tmp_path}/events.md is missing: {remedy}",
            f"{tmp_path}/old.md is not a page of the reference: {remedy}",
        ]
        assert not (tmp_path / "events.md").exists(), "--check writes nothing"

    def test_it_mends_them_and_then_has_nothing_to_do(self, tmp_path, capsys):
        main = script().main
        main(["--output", str(tmp_path)])
        (tmp_path / "events.md").unlink()
        (tmp_path / "old.md").write_text("", encoding="utf-8")
        capsys.readouterr()
        assert main(["--output", str(tmp_path)]) == 0
        assert capsys.readouterr().out == f"wrote {tmp_path}/events.md\nremoved {tmp_path}/old.md\n"
        assert main(["--output", str(tmp_path)]) == 0
        assert capsys.readouterr().out == ""
        assert {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()} == PAGES

    def test_line_ends_count(self, tmp_path):
        script().main(["--output", str(tmp_path)])
        (tmp_path / "cli.md").write_bytes(PAGES["cli.md"].replace("\n", "\r\n").encode())
        assert [path.name for path, _ in pages.stale(tmp_path, PAGES)] == ["cli.md"]


class TestCommands:
    def test_every_command_has_its_help_as_the_program_prints_it(self):
        found = 0
        for name, program in commands.programs().items():
            for entry in commands.entries(name, program):
                printed = CliRunner().invoke(
                    program, [*entry.words[1:], "--help"], prog_name=name, terminal_width=commands.WIDTH
                )
                assert printed.exit_code == 0
                assert f"## {entry.title}\n\n```text\n{printed.output.rstrip()}\n```\n" in PAGES["cli.md"]
                found += 1
        assert found == PAGES["cli.md"].count("\n## ") > 30

    def test_hidden_commands_stay_hidden(self):
        group = click.Group("g", commands=[click.Command("seen"), click.Command("secret", hidden=True)])
        assert [entry.title for entry in commands.entries("p", group)] == ["p", "p seen"]


class TestTopology:
    text = PAGES["topology.md"]

    @pytest.mark.parametrize("topic", TOPOLOGY.topics.values(), ids=lambda topic: topic.name)
    def test_a_topic_stands_there_with_its_configuration(self, topic):
        found = dict(rows(self.text.replace("|  |  |", "| a | b |"), f"### {topic.name}"))
        assert (found["partitions"], found["copies"]) == (str(topic.partitions), str(topic.replication))
        assert {key.strip("`"): value.strip("`") for key, value in found.items() if "`" in key} == topic.config
        assert names(found.get("events", "")) == topic.events
        writers = [service.name for service in TOPOLOGY.services.values() if topic.name in service.writes]
        readers = [service.name for service in TOPOLOGY.services.values() if topic.name in service.reads]
        assert (list(names(found["written by"])), list(names(found.get("read by", "")))) == (writers, readers)

    @pytest.mark.parametrize("service", TOPOLOGY.services.values(), ids=lambda service: service.name)
    def test_a_service_stands_there_with_what_it_reads_and_writes(self, service):
        found = dict(rows(self.text.replace("|  |  |", "| a | b |"), f"### {service.name}"))
        told = {key: names(value) for key, value in found.items()}
        reads = ("reads", "keeps its state on", "keeps its progress on")
        assert set(chain.from_iterable(told.get(key, ()) for key in reads)) == set(service.reads)
        writes = ("writes", "keeps its state on", "keeps its progress on", "puts what it cannot use on")
        assert set(chain.from_iterable(told.get(key, ()) for key in writes)) == set(service.writes)
        groups = ("group as workers", "groups as a Lambda function")
        assert tuple(chain.from_iterable(told.get(key, ()) for key in groups)) == service.groups

    def test_every_consumer_group_of_the_services_stands_there(self):
        found = [names(group)[0] for group, *_ in rows(self.text, "## Consumer groups")]
        assert [group for group in found if not group.endswith("*")] == list(TOPOLOGY.groups)

    def test_every_user_has_all_acls_and_no_other(self):
        found = []
        for user in TOPOLOGY.users:
            if user not in TOPOLOGY.superusers:
                for operation, resource, cell in rows(self.text, f"### User {user}"):
                    for name in names(cell):
                        pattern = "prefixed" if name.endswith("*") else "literal"
                        found.append(Acl(user, resource, name.removesuffix("*"), pattern, operation))
        assert sorted(found) == sorted(TOPOLOGY.acls())

    def test_what_is_removed_from_the_topology_is_gone_from_the_page(self):
        text = (ROOT / "topology.yaml").read_text(encoding="utf-8")
        other = topology.parse(text.replace("  dashboard:\n    reads: all\n    watches_groups: true\n", ""))
        assert "dashboard" in PAGES["topology.md"]
        assert "dashboard" not in pages.render(other)["topology.md"]


class TestErrors:
    text = PAGES["errors.md"]
    every = tuple(
        value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, ShopstreamError)
    )

    @pytest.mark.parametrize("error", every)
    def test_an_error_stands_there_once_with_exit_code_and_meaning(self, error):
        lines = [line for line in self.text.splitlines() if line.startswith("| ") and f"`{error.__name__}` |" in line]
        assert len(lines) == 1
        assert f"| {error.exit_code} | {reading.summary_of(error)} |" in lines[0]

    def test_the_tree_is_that_of_the_classes_and_of_the_module_s_docstring(self):
        drawn = [line for line in errors.__doc__.splitlines() if re.match(r" {4}[S│├└ ]", line)]
        depth_of = {re.search(r"[A-Z]\w+", line)[0]: re.search(r"[A-Z]", line).start() // 4 - 1 for line in drawn}
        assert {error.__name__: depth for depth, error in errors_page.tree()} == depth_of
        assert set(self.every) == {error for _, error in errors_page.tree()}

    def test_every_reason_of_the_sources_is_explained(self):
        assert [names(reason)[0] for reason, *_ in rows(self.text, "## Why a record cannot be used")] == sorted(
            reading.reasons()
        )

    def test_a_new_reason_is_found_in_the_sources(self, tmp_path):
        (tmp_path / "deep").mkdir()
        source = "def f(why):\n    raise BadRecord('rotten', 'smells')\n    raise BadRecord(why, '')\n"
        (tmp_path / "deep" / "a.py").write_text(source, encoding="utf-8")
        assert reading.reasons(tmp_path) == {"rotten": (f"{tmp_path.name}.deep.a",)}


class TestMeanings:
    def test_everything_is_explained_and_no_explanation_is_left_over(self):
        meanings.check(schema.shown_fields())

    @pytest.mark.parametrize(
        ("fields", "reasons", "complaint"),
        [
            ({"colour": 1}, (), "Line.colour: say in FIELDS what it means"),
            ({}, ("rotten",), "rotten: say in REASONS what it means"),
        ],
    )
    def test_what_is_new_must_be_explained(self, fields, reasons, complaint):
        kinds = schema.shown_fields()
        line = next(kind for kind in kinds if kind.__name__ == "Line")
        with pytest.raises(ShopstreamError, match=re.escape(complaint)):
            meanings.check({**kinds, line: (*kinds[line], *fields)}, {*meanings.REASONS, *reasons})

    def test_what_is_gone_must_not_be_explained(self):
        kinds = schema.shown_fields()
        fewer = {kind: fields for kind, fields in kinds.items() if kind.__name__ != "Address"}
        with pytest.raises(ShopstreamError, match="postal_code: no type has this field"):
            meanings.check(fewer)
        with pytest.raises(ShopstreamError, match="empty: nobody gives this reason"):
            meanings.check(kinds, meanings.REASONS.keys() - {"empty"})

    def test_a_docstring_s_list_of_attributes_is_read(self):
        class Documented:
            """One.

            Two.

            Attributes:
                a: The first,
                    on two lines.
                b: The second: with a colon.

            More.
            """

        assert reading.attributes_of(Documented) == {"a": "The first, on two lines.", "b": "The second: with a colon."}
        assert (reading.summary_of(Documented), reading.title_of(Documented)) == ("One. Two.", "One")
        assert reading.attributes_of(int) == {}


class TestMarkdown:
    def test_a_cell_cannot_break_its_table(self):
        assert markdown.table(("a", "b"), [("x|y", "1\n2")]).splitlines()[2] == "| x\\|y | 1 2 |"

    @pytest.mark.parametrize(
        ("heading", "anchor"),
        [
            ("shopstream run", "shopstream-run"),
            ("python -m shopstream.aws", "python--m-shopstreamaws"),
            ("order_placed", "order_placed"),
            ("Why a record cannot be used", "why-a-record-cannot-be-used"),
        ],
    )
    def test_headings_have_github_s_anchors(self, heading, anchor):
        assert markdown.anchor(heading) == anchor
