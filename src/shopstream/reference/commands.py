"""docs/reference/cli.md: the help of every command, as click prints it on a terminal of a fixed width."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import click

from shopstream.reference import markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 100
"""Columns of the terminal that the help is made for."""

_ABOUT_AWS = (
    "`python -m shopstream.aws` is what `scripts/deploy_all.sh` (`deploy`, or `verify` after `--verify`) and "
    "`scripts/destroy_all.sh` (`destroy`) call with their arguments; [aws.md](../aws.md) tells how."
)


class Entry(NamedTuple):
    """A command: how it is called, and click's own description of it."""

    words: tuple[str, ...]
    command: click.Command
    context: click.Context

    @property
    def title(self) -> str:
        """How it is called."""
        return " ".join(self.words)


def programs() -> dict[str, click.Command]:
    """The programs of this project that click describes, by what one types to start them."""
    from shopstream.aws.__main__ import cli as aws
    from shopstream.cli.main import cli

    return {"shopstream": cli, "python -m shopstream.aws": aws}


def entries(name: str, command: click.Command, parent: Entry | None = None) -> Iterator[Entry]:
    """A command and all commands below it, each before its own."""
    context = click.Context(
        command,
        parent=parent.context if parent else None,
        info_name=name,
        terminal_width=WIDTH,
        **command.context_settings,
    )
    entry = Entry((*(parent.words if parent else ()), name), command, context)
    yield entry
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            found = command.get_command(context, child)
            if found is not None and not found.hidden:
                yield from entries(child, found, entry)


def render() -> str:
    """The page."""
    found = {name: list(entries(name, program)) for name, program in programs().items()}
    tables = [markdown.table(("command", "what it does"), map(_line, commands)) for commands in found.values()]
    helps = [
        f"## {entry.title}\n\n{markdown.fence(entry.command.get_help(entry.context), 'text')}"
        for commands in found.values()
        for entry in commands
    ]
    return markdown.page("The command line", "the commands' own help", tables[0], _ABOUT_AWS, tables[1], *helps)


def _line(entry: Entry) -> tuple[str, str]:
    return markdown.link(entry.title), entry.command.get_short_help_str(limit=200)
