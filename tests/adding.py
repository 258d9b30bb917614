"""docs/adding-a-service.md carried out: the page's own code blocks, put where the page says."""

import re
from pathlib import Path

from tests import docs_commands

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "adding-a-service.md"
NAME = "fraud_checker"
# A line that names a file, perhaps with a place in it, and the block that belongs there.
_BLOCK = re.compile(
    r"^`(?P<file>[\w/.]+)`(?:, under `(?P<key>\w+)`)?(?:, [^:\n]*)?:\n\n```(?:python|yaml)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_SHOWN = re.compile(r"^\$ (?P<command>.+)\n(?P<lines>(?:(?!\$ |```).*\n)+)", re.MULTILINE)

READS, ANSWERS, ON_LAMBDA = "A service that reads", "A service that answers", "On Lambda, and on AWS"
COMMITTED, APART = "Before you commit it here", "In a project of your own"


def section(title):
    """What stands below a heading of the page, up to the next one."""
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE.read_text("utf-8"), re.MULTILINE | re.DOTALL)[1]


def commands(title):
    """What a section says one should type, but for what it says is not to be run."""
    return [command for block in docs_commands.blocks(section(title)) for command, _ in block.executed]


def titles():
    """The sections that say one should type something."""
    headings = re.findall(r"^## (.+)$", PAGE.read_text("utf-8"), re.MULTILINE)
    return [title for title in headings if commands(title)]


def shown(title):
    """For commands of a section, the lines that it shows below them; `…` stands for others."""
    return {found["command"]: found["lines"].splitlines() for found in _SHOWN.finditer(section(title))}


def carry_out(title, project):
    """Put a section's blocks into a project: files as they are, entries of topology.yaml under their keys.

    An entry that is there already is replaced.
    """
    found = list(_BLOCK.finditer(section(title)))
    assert found, title
    for block in found:
        path = project / block["file"]
        if block["key"]:
            path.write_text(_with_entry(path.read_text("utf-8"), block["key"], block["text"]), "utf-8")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block["text"], "utf-8")


def _with_entry(text, key, block):
    head, entry = block.split("\n", 1)
    assert head == f"{key}:"
    name = entry.partition(":")[0].strip()
    before, rest = re.split(rf"(?<=^{key}:\n)", text, maxsplit=1, flags=re.MULTILINE)
    rest = re.sub(rf"\A  {name}:\n(?:    .*\n)+", "", rest)
    return before + entry + rest
