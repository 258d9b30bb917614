"""`shopstream completion`: what lets a shell complete commands and options."""

from __future__ import annotations

import click

from shopstream.cli.common import examples, say


@click.command(
    epilog=examples(
        "shopstream completion bash > ~/.local/share/bash-completion/completions/shopstream",
        "shopstream completion zsh > ~/.zfunc/_shopstream",
        "shopstream completion fish > ~/.config/fish/completions/shopstream.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Let your shell complete commands and options.

    This prints what the shell needs for that; new shells find it where the examples put it. bash must be 4.4 or later,
    with the package bash-completion; zsh needs `fpath+=~/.zfunc` before `compinit` in ~/.zshrc. `shopstream` must be on
    the path.
    """
    from click.shell_completion import get_completion_class

    from shopstream.cli.main import cli

    found = get_completion_class(shell)
    if found is None:
        raise RuntimeError(f"click knows nothing of {shell}")
    made = found(cli, {}, "shopstream", "_SHOPSTREAM_COMPLETE")
    say(made.source_template % made.source_vars())  # source() would ask the bash that is installed here for its version
