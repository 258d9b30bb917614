"""What several commands need."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from shopstream.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

F = TypeVar("F", bound="Callable[..., Any] | click.Command")

TOPOLOGY = "SHOPSTREAM_TOPOLOGY"
"""The environment variable that names the topology for every command that takes one."""


def topology_named(*names: str, about: str) -> Callable[[F], F]:
    """An option that names a topology file; `SHOPSTREAM_TOPOLOGY` stands in for it.

    Args:
        names: As click takes them: the option's names, and the parameter's.
        about: Its help.
    """
    file = click.Path(path_type=Path)
    return click.option(*names, type=file, metavar="FILE", envvar=TOPOLOGY, show_envvar=True, help=about)


topology_option = topology_named(
    "--topology",
    "topology_file",
    about="Your own topology, the code of its services beside it: services/<name>/<name>.py [the shop's own].",
)


def examples(*lines: str) -> str:
    """The end of a command's help: how it is called."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))


def checkout(wanted: str) -> Path:
    """The project's directory, where this package's source lies.

    Args:
        wanted: What needs it, for the error's text.

    Raises:
        UsageError: This package is installed without it.
    """
    source = Path(__file__).resolve().parents[3]
    if not (source / "infra" / "terraform").is_dir():
        raise UsageError(
            f"{wanted} needs a checkout of the project, and this shopstream is installed without one: clone the "
            "project, and call `make rehearse` there, which makes a shopstream of its own in .venv/bin"
        )
    return source


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
