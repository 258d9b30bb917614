"""Links in the documentation lead to files of this repository that are there, and to headings that they have."""

import re
from pathlib import Path

import pytest

from shopstream.reference.markdown import anchor

ROOT = Path(__file__).parent.parent
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "infra").glob("*.md")),
    *sorted((ROOT / "infra").glob("*/*.md")),
    *sorted((ROOT / "tests").glob("*/*.md")),
]
# `[text](target)`, pictures too; a target ends at the first blank or bracket, as it does for this project's own.
_LINK = re.compile(r"\]\(([^()\s]+)\)")
_FENCE = re.compile(r"^ *(```+|~~~+).*?^ *\1", re.MULTILINE | re.DOTALL)


def links(text):
    """Where a page's links lead, those into the web left out. Headings may be links, and texts of links may be code."""
    without_code = _FENCE.sub("", text)
    return [target for target in _LINK.findall(without_code) if not re.match(r"[a-z]+:", target)]


def anchors(text):
    """The anchors of a page's headings; a heading that comes again gets a number."""
    seen = {}
    for heading in re.findall(r"^#+ +(.*?) *#*$", _FENCE.sub("", text), re.MULTILINE):
        plain = anchor(re.sub(r"\[(.*?)\]\(.*?\)", r"\1", heading))
        seen[plain] = seen.get(plain, -1) + 1
        yield f"{plain}-{seen[plain]}" if seen[plain] else plain


def problems(page):
    """What is wrong with a page's links, one line each."""
    for target in links(page.read_text(encoding="utf-8")):
        name, _, place = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists():
            yield f"{target}: there is no such file"
        elif place and path.suffix == ".md" and place not in anchors(path.read_text(encoding="utf-8")):
            yield f"{target}: {path.name} has no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_of_a_page_lead_somewhere(page):
    assert list(problems(page)) == []


def test_there_are_pages_and_links_to_check():
    assert {"README.md", "architecture.md", "cli.md"} <= {page.name for page in PAGES}
    assert sum(len(links(page.read_text(encoding="utf-8"))) for page in PAGES) > 100


PAGE = """# One `thing`, two

[here](#one-thing-two) [again](#again-1) [web](https://example.com/x#y) [mail](mailto:a@example.com)
[file](other.md) [`code`](other.md#that) ![picture](sub/p.png) [folder](sub)

## Again
## Again

```
[no](link.md)
```
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "p.png").write_bytes(b"")
    (tmp_path / "other.md").write_text("# This\n\n## [That](x)\n", encoding="utf-8")
    return tmp_path


def found(folder, text):
    (folder / "page.md").write_text(text, encoding="utf-8")
    return list(problems(folder / "page.md"))


def test_what_is_right_passes(folder):
    assert found(folder, PAGE) == []


@pytest.mark.parametrize(
    ("right", "wrong", "complaint"),
    [
        ("(other.md)", "(othr.md)", "othr.md: there is no such file"),
        ("(sub/p.png)", "(sub/q.png)", "sub/q.png: there is no such file"),
        ("(other.md#that)", "(other.md#those)", "other.md#those: other.md has no such heading"),
        ("(#again-1)", "(#again-2)", "#again-2: page.md has no such heading"),
        ("(#one-thing-two)", "(#one-thing)", "#one-thing: page.md has no such heading"),
    ],
)
def test_a_planted_dead_link_is_found(folder, right, wrong, complaint):
    assert found(folder, PAGE.replace(right, wrong)) == [complaint]
