"""This library beside faiss, turbovec and rabitqlib: one process, the same rows, turn by turn.

    pip install '.[bench]'
    python benches/peers.py             # encoding and decoding: peer_codec.py
    python benches/peers.py search      # search in codes: peer_search.py
    python benches/peers.py compare     # error and recall in one table: peer_methods.py

Options of each: `python benches/peers.py search --help`.
"""

from __future__ import annotations

import argparse
import sys

import peer_codec
import peer_methods
import peer_search

COMMANDS = {"codec": peer_codec, "search": peer_search, "compare": peer_methods}
DEFAULT = "codec"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
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
