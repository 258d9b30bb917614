"""Every command in the documentation exists as it is written: command, options, targets, scripts."""

import re
from pathlib import Path

import pytest

from tests.docs_commands import EXECUTED_BY, blocks, pages, problems, simple, spans, targets

ROOT = Path(__file__).parent.parent
PAGES = pages()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_exist(page):
    assert list(problems(page.read_text(encoding="utf-8"))) == []


def test_there_is_something_to_check():
    texts = [page.read_text(encoding="utf-8") for page in PAGES]
    assert sum(len(block.commands) for text in texts for block in blocks(text)) > 30
    assert sum(len(list(spans(text))) for text in texts) > 30


def test_the_pages_beside_the_code_are_among_them():
    names = {str(page.relative_to(ROOT)) for page in PAGES}
    assert {
        "README.md",
        "CONTRIBUTING.md",
        "docs/aws.md",
        "docs/reference/cli.md",
        "infra/terraform/README.md",
    } <= names
    assert not any(name.startswith(("tests/", ".")) for name in names)


def test_a_page_that_another_test_executes_has_that_test_and_something_to_execute():
    for page, test in EXECUTED_BY.items():
        found = blocks((ROOT / page).read_text(encoding="utf-8"))
        assert any(block.executed for block in found)
        assert page in (ROOT / test).read_text(encoding="utf-8")


def test_the_makefile_s_targets_are_known():
    named = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)[1].split()
    assert {*named, ".venv/.ready-dev", ".venv-ansible/.ready"} <= targets()


def fenced(command, language="sh", before=""):
    return f"Text.\n\n{before}\n```{language}\n{command}\n```\n"


RIGHT = [
    "shopstream run --orders 50000 --rate 2000 --workers 2 &",
    "shopstream run --on lambda --faults redeliver=1,fail=0.1 --orders 10",
    "shopstream --version",
    "shopstream lambda invoke --help",
    "shopstream rehearse hosts exec kafka1 -- systemctl status kafka",
    "shopstream rehearse --keep",
    ".venv/bin/shopstream down --wipe # and its data",
    'sudo -E env "PATH=$PATH" shopstream rehearse hosts up',
    "shopstream audit --json | python scripts/build_dashboards.py --check > out.txt && make test",
    "SHOPSTREAM_HOME=/tmp/x shopstream up --brokers 3",
    "make demo",
    "make PYTHON=python3.13 test-fast check",
    "make .venv-ansible/.ready",
    "scripts/deploy_all.sh --plan-only --admin-cidr 203.0.113.7/32 --ssh-public-key ~/.ssh/id_ed25519.pub",
    "scripts/deploy_all.sh --verify --wait-seconds 5",
    "scripts/destroy_all.sh --dry-run",
    "python -m shopstream.aws inventory --output infra/ansible/inventory.ini",
    "python -m shopstream.cluster.jars --relock",
    "python scripts/reference.py --check",
    "python scripts/build_zips.py --arch arm64",
    "shopstream run \\\n  --orders 3",
    "# a comment\n\nmake help",
]


@pytest.mark.parametrize("command", RIGHT)
def test_what_is_right_passes(command):
    assert list(problems(fenced(command))) == []


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("shopstream rum", "No such command 'rum'"),
        ("shopstream run --order 5 --no", "No such option"),
        ("shopstream run", "Missing option '--orders'"),
        ("shopstream run --orders many", "not a valid integer"),
        ("shopstream run --orders 5 --on mars", "is not one of"),
        ("shopstream up --brokers 2", "is not one of"),
        ("shopstream down now", "unexpected extra argument"),
        ("shopstream topology", "Usage: |subcommand is missing|Missing command"),
        ("shopstream lambda invoke", "Missing argument 'FUNCTION'"),
        ("shopstream rehearse hosts unplugged kafka1", "No such command"),
        ("make tset", "the Makefile has no such target"),
        ("sudo make demos", "the Makefile has no such target"),
        ("make demo && make no-such", "the Makefile has no such target"),
        ("scripts/deploy.sh", "there is no such file"),
        ("scripts/deploy_all.sh --plan", "No such option"),
        ("scripts/destroy_all.sh --skip-zips", "No such option"),
        ("scripts/lock_requirements.sh --hard", "has no option --hard"),
        ("python scripts/reference.py --chekc", "has no option --chekc"),
        ("python scripts/no_such.py", "there is no such file"),
        ("python -m shopstream.awsome", "there is no such module"),
        ("python -m shopstream.aws inventory --outptu x", "No such option"),
        ("python -m http.server", "there is no such module"),
        ("ssh -N admin@BASTION", "ssh is no program of this project"),
        ('shopstream audit "', "No closing quotation"),
    ],
)
def test_a_planted_mistake_is_found(command, complaint):
    (found,) = problems(fenced(command))
    assert re.search(complaint, found)
    assert found.startswith("line 5: ")


class TestBlocks:
    def test_other_people_s_programs_need_a_reason(self):
        marker = "<!-- not run: needs a deployment -->"
        assert list(problems(fenced("ssh -N admin@BASTION", before=marker))) == []
        assert list(problems(fenced("ssh -N admin@BASTION", before=f"{marker}\n"))) == []
        assert list(problems(fenced("ssh -N admin@BASTION", before=f"{marker}\n\nMore.\n"))) != []

    def test_what_is_ours_must_be_right_even_where_it_is_not_run(self):
        found = list(problems(fenced("ssh x\nshopstream rum", before="<!-- not run: needs a deployment -->")))
        assert len(found) == 1
        assert "No such command 'rum'" in found[0]

    @pytest.mark.parametrize("mark", ["<!-- not run: -->", "<!-- not run (ssh): -->"])
    def test_a_reason_must_be_one(self, mark):
        assert list(problems(fenced("ssh x", before=mark))) == ["`not run` without a reason"]

    def test_a_reason_may_be_that_of_some_commands(self):
        before = "<!-- not run (make test): minutes -->\n<!-- not run (ssh): needs a host -->"
        text = fenced("make demo # it is short\nmake test\nmake test-fast\nssh x", before=before)
        (block,) = blocks(text)
        assert block.executed == [("make demo # it is short", ""), ("make test-fast", "")]
        assert block.reason("ssh x") == "needs a host"
        assert list(problems(text)) == []
        assert list(problems(text.replace("(ssh)", "(sh)"))) == [
            "`not run (sh)`, and no command of the block begins so"
        ]
        assert "ssh is no program" in next(problems(text.replace("(ssh)", "(make demo)")))

    @pytest.mark.parametrize("span", ["make tset", "tests/test_no.py", "shopstream rum", "kcat -F"])
    def test_what_a_reason_names_is_there(self, span):
        right = "<!-- not run: `.ci/run` calls `make test`, with `tests/test_worker.py` -->"
        assert list(problems(fenced("ssh x", before=right))) == []
        found = next(problems(fenced("ssh x", before=right.replace("make test", span))))
        assert found.startswith(f"line 5: not run: `{span}`: ")

    def test_on_a_terminal_only_what_follows_a_prompt_is_a_command(self):
        text = fenced("$ make demo \\\n  check\nOK  5,000 orders\n# shopstream up\n| x", "console")
        (block,) = blocks(text)
        assert block.commands == ["make demo check", "shopstream up"]
        assert block.shown == ["OK  5,000 orders\n", "| x\n"]

    def test_what_is_typed_is_not_hidden_in_a_text(self):
        (found,) = problems(fenced("$ shopstream rum", "text"))
        assert found.startswith("line 5: what is typed stands in a block of the language console")

    def test_a_block_without_a_language_holds_commands_if_it_looks_like_it(self):
        assert [block.commands for block in blocks(fenced("make demo", ""))] == [["make demo"]]
        assert list(blocks(fenced("topology.yaml ──► local cluster", ""))) == []
        assert list(blocks(fenced("shopstream rum", "text"))) == []

    def test_blocks_in_lists_count(self):
        (block,) = blocks("- a\n\n  ```sh\n  make demo\n  ```\n- b\n")
        assert block.commands == ["make demo"]

    def test_an_indented_block_is_no_hiding_place(self):
        assert list(problems("Text:\n\n    shopstream rum 1\n")) == [
            "shopstream rum 1: put it into a fenced block, where it is checked"
        ]


class TestSpans:
    @pytest.mark.parametrize(
        "span",
        [
            "shopstream",
            "shopstream run --orders N",
            "shopstream audit --run-id …",
            "shopstream rehearse hosts …",
            "shopstream topology show\\|acls\\|check",
            "shopstream up --help",
            "make test-fast",
            "make .venv-ansible/.ready",
            "scripts/deploy_all.sh --verify",
            "python -m shopstream.aws leftovers",
            "shopstream-payment_processor",
            "rehearse hosts down",
        ],
    )
    def test_what_is_right_passes(self, span):
        assert list(problems(f"See `{span}` for more.")) == []

    @pytest.mark.parametrize(
        "span",
        [
            "shopstream rum",
            "shopstream run --order N",
            "shopstream topology show\\|list",
            "make tset",
            "scripts/deploy.sh",
            "scripts/deploy_all.sh --no-such",
            "python -m shopstream.aws leftover",
        ],
    )
    def test_a_planted_mistake_is_found(self, span):
        assert len(list(problems(f"| see `{span}` | for more |"))) == 1


class TestWords:
    @pytest.mark.parametrize(
        ("command", "words"),
        [
            ("a b|c  d", [["a", "b"], ["c", "d"]]),
            ("a 'b c' # d", [["a", "b c"]]),
            ("X=1 sudo -E env Y=2 a", [["a"]]),
            ("a > f 2>&1 && b < g", [["a"], ["b"]]),
            ("a &", [["a"]]),
            ("kill -9 \"$(b 'c d')\"", [["kill", "-9", "$(b 'c d')"]]),
            ("# a", []),
        ],
    )
    def test_a_command_line_is_split_as_a_shell_would(self, command, words):
        assert simple(command) == words
