"""`shopstream`: the list of commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

import click

from shopstream import __version__, interrupts
from shopstream.cli.common import examples
from shopstream.errors import ShopstreamError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# command: where it is, and its line in the list. Kept here so that `shopstream up` does not import what `audit` needs.
COMMANDS = {
    "up": ("shopstream.cli.cluster:up", "Start a secured Kafka on this machine."),
    "down": ("shopstream.cli.cluster:down", "Stop it; --wipe deletes its data."),
    "status": ("shopstream.cli.cluster:status", "Is it running, and what does it take?"),
    "env": ("shopstream.cli.cluster:env", "How any Kafka tool can connect to it."),
    "run": ("shopstream.cli.run:run", "Send orders through the shop, and audit the outcome."),
    "demo": ("shopstream.cli.run:demo", "Start everything, run some thousand orders, show the report."),
    "audit": ("shopstream.cli.audit:audit", "Prove from the topics that every order had exactly one outcome."),
    "lambda": ("shopstream.cli.lambdas:lambdas", "Lambda functions on this machine, fed from Kafka as AWS does it."),
    "rehearse": ("shopstream.cli.rehearse:rehearse", "The whole deployment, through a whole life on this machine."),
    "cost": ("shopstream.cli.cost:cost", "What a deployment on AWS costs, and what each choice saves."),
    "topology": ("shopstream.cli.topology:topology", "Topics, services, users and ACLs, as topology.yaml has them."),
    "completion": ("shopstream.cli.completion:completion", "Let your shell complete commands and options."),
}

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """In the order of use, not of the alphabet."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import a command."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The commands that begin so, without importing any, and the options."""
        from click.shell_completion import CompletionItem

        found = [CompletionItem(name, help=line) for name, (_, line) in COMMANDS.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("shopstream demo", "shopstream run --orders 1000", "shopstream run --help", "shopstream down"),
)
@click.version_option(__version__, prog_name="shopstream")
def cli() -> None:
    """A web shop whose orders flow through a real, secured Kafka, by its workers exactly once, and are audited.

    Begin with `shopstream demo`.
    """


def main(arguments: list[str] | None = None) -> Any:
    """Run the command line and exit: 0 good, 1 the check failed, 2 wrong use, 130 interrupted."""
    interrupts.take()
    try:
        code = cli.main(args=arguments, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except ShopstreamError as error:
        click.echo(f"error: {error}", err=True)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone, as `| head` does; nothing is wrong, and nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    sys.exit(code if isinstance(code, int) else 0)


if __name__ == "__main__":
    main()
