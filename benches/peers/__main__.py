"""This library beside faiss, turbovec and rabitqlib: one process, the same rows, turn by turn.

    pip install '.[bench]'
    python -m benches.peers             # encoding and decoding: codec.py
    python -m benches.peers search      # search in codes: search.py
    python -m benches.peers compare     # error and recall in one table: compare.py

Options of each: `python -m benches.peers search --help`.
"""

from __future__ import annotations

import argparse
import sys

from . import codec, compare, search

COMMANDS = {"codec": codec, "search": search, "compare": compare}
DEFAULT = "codec"


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benches.peers", description=__doc__.splitlines()[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.run.__doc__,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_options(command)
    arguments = sys.argv[1:]
    if not arguments or arguments[0] not in {*COMMANDS, "-h", "--help"}:
        arguments.insert(0, DEFAULT)
    options = parser.parse_args(arguments)
    COMMANDS[options.command].run(options)


if __name__ == "__main__":
    main()
