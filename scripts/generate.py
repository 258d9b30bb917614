"""Writes what is derived from the code: docs/test-events and tests/golden/acls.txt.

`tests/test_generated.py` compares. The pages of docs/reference are scripts/reference.py's.
"""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from shopstream import topology
from shopstream.cli.main import cli
from shopstream.lambdas.samples import sample_events

ROOT = Path(__file__).parent.parent
_WIDTH = 100  # columns


def render() -> dict[Path, str]:
    """Every generated file, by its path."""
    return {
        ROOT / "tests" / "golden" / "acls.txt": _output("topology", "acls"),
        **{
            ROOT / "docs" / "test-events" / f"{name}.json": json.dumps(event, indent=2) + "\n"
            for name, event in sample_events(topology.load()).items()
        },
    }


def _output(*arguments: str) -> str:
    result = CliRunner().invoke(cli, arguments, prog_name="shopstream", terminal_width=_WIDTH, catch_exceptions=False)
    return str(result.output)


if __name__ == "__main__":
    for path, text in render().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
