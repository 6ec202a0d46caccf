"""The command line: one module a command.

Exit codes: 0, done; 1, the machine failed (disk full, memory) or the program did; 2, what the
caller gave is wrong, or a file is missing, damaged or in the way; 130, interrupted. Errors are one
line on stderr. Results are on stdout, with ``--json`` one object on one line. Bars are on stderr,
where that is a terminal.
"""

from __future__ import annotations

import click

from blockquant import __version__
from blockquant.cli import compare, completion, decode, encode, fit, info, search
from blockquant.cli._errors import Group

__all__ = ["main"]


@click.group(
    cls=Group,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit codes: 0 done; 1 the machine or the program failed; 2 an argument or a file is wrong;"
        " 130 interrupted. Files of rows: .npy, .npz, .safetensors, .parquet (a list column),"
        " .fvecs; they may be larger than memory."
    ),
)
@click.version_option(__version__, prog_name="blockquant")
@click.pass_context
def main(context: click.Context) -> None:
    """Rotation-based vector quantization, measured."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for module in (compare, fit, encode, decode, search, info, completion):
    main.add_command(module.command)
