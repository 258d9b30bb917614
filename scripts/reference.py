#!/usr/bin/env python3
"""Write the reference in docs/reference from the code and from topology.yaml.

    python scripts/reference.py           writes what is stale, and says what
    python scripts/reference.py --check   writes nothing; exit 1 names what is stale

The same sources give the same bytes. It needs what requirements-dev.txt pins.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from shopstream import topology
from shopstream.errors import ShopstreamError
from shopstream.reference import pages

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "reference"


def main(arguments: list[str] | None = None) -> int:
    """Write or check the reference; returns the exit code."""
    parser = argparse.ArgumentParser(description="The reference in docs/reference, from the code and topology.yaml.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is stale")
    parser.add_argument("--output", type=Path, default=FOLDER, help="where the files lie")
    options = parser.parse_args(arguments)
    try:
        made = pages.render(topology.load(ROOT / "topology.yaml"))
    except ShopstreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if options.check:
        found = pages.stale(options.output, made)
        for path, why in found:
            print(f"{_shown(path)} {why}: run `python scripts/reference.py`", file=sys.stderr)
        return 1 if found else 0
    for path in pages.write(options.output, made):
        print(f"{'wrote' if path.exists() else 'removed'} {_shown(path)}")
    return 0


def _shown(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


if __name__ == "__main__":
    sys.exit(main())
