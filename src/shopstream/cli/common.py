"""What several commands need."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console


def local_home() -> Path:
    """The state directory of the local cluster: $SHOPSTREAM_HOME, or `.shopstream` in the current directory."""
    from shopstream.cluster import home

    return home.find(os.environ, Path.cwd()).root


def say(text: str) -> None:
    """Print a result. A reader that has gone, as `| head` does, changes nothing about the exit code."""
    try:
        click.echo(text)
    except BrokenPipeError:
        _say_no_more()


def report_console() -> Console:
    """A console for a report, with the same indifference to a reader that has gone."""
    from rich.console import Console

    class ReportConsole(Console):
        def on_broken_pipe(self) -> None:
            """Go on without a word; rich would exit."""
            _say_no_more()

    return ReportConsole()


def _say_no_more() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
