"""``blockquant completion``: what a shell reads to complete commands, options, methods, files."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command("completion", short_help="Prints a completion script for a shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Prints the completion script for SHELL.

    \b
    bash, in ~/.bashrc:  eval "$(blockquant completion bash)"
    zsh, in ~/.zshrc:    eval "$(blockquant completion zsh)"
    fish:                blockquant completion fish > ~/.config/fish/completions/blockquant.fish
    """  # noqa: D301  # \b keeps the lines that follow apart
    kind = get_completion_class(shell)
    assert kind is not None  # click's own
    main = context.find_root().command
    click.echo(kind(main, {}, "blockquant", "_BLOCKQUANT_COMPLETE").source())
