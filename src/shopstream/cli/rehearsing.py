"""What `shopstream rehearse` does without a command."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from shopstream import __version__
from shopstream.cli.common import checkout, local_home, say
from shopstream.errors import UsageError

if TYPE_CHECKING:
    from shopstream.rehearsal.life.record import Result

CACHE = "SHOPSTREAM_REHEARSAL_CACHE"


def carry_out(*, keep: bool, begin: str | None, only: str | None, as_json: bool) -> int:
    """Rehearse, tell how it goes, and write the report.

    Args:
        keep: Leave everything up.
        begin: The first phase, on what is kept.
        only: The only phase, on what is kept.
        as_json: Print the record as JSON; the rest goes to standard error.

    Returns:
        The exit code.
    """
    source = checkout("`shopstream rehearse`")
    from shopstream.rehearsal.life import page, report
    from shopstream.rehearsal.life.rehearsal import Rehearsal
    from shopstream.rehearsal.life.world import World

    home, cache = local_home(), os.environ.get(CACHE)
    if Path(sys.prefix) == Path(sys.base_prefix):
        raise UsageError("the rehearsal runs the scripts of a checkout in its own environment: call `make rehearse`")
    world = World(
        source=source,
        home=home,
        cache=Path(cache) if cache else home.absolute() / "cache" / "rehearsal",
        environ=os.environ,
        progress=_tell,
    )
    ok, told = False, []

    def tell(result: Result, ended: bool) -> None:
        told.append(result.name)
        _told(result, ended)

    try:
        ok = Rehearsal(world, tell).run(begin=begin, only=only, keep=keep)
    finally:
        if told:  # of a command that was refused, nothing is to be reported
            file = world.directory / "report.html"
            file.write_text(page.render(world.record, version=__version__), encoding="utf-8")
            for line in report.summary(world.record):
                _tell(line)
            _tell(f"\nthe report: {file}\nthe logs: {world.logs}")
    if keep or only:
        _tell("what stands is kept: see `shopstream rehearse shell HOST` and `pages`; `hosts down` ends it")
    if as_json:
        say(json.dumps(json.loads(world.record.path.read_text(encoding="utf-8")), indent=2))
    return 0 if ok else 1


def _told(result: Result, ended: bool) -> None:
    from shopstream.rehearsal.life import report

    if ended:
        for line in report.ends(result):
            _tell(line)
    else:
        _tell(report.begins(result))


def _tell(text: str) -> None:
    click.echo(text, err=True)
