"""Helpers that call commands in this process."""

import json
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO

import pytest

from blockquant.cli import main


def call(*arguments):
    """Run a command and return its exit code, output and errors."""
    out, err = StringIO(), StringIO()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments], prog_name="blockquant")
    return caught.value.code, out.getvalue(), err.getvalue()


def done(*arguments):
    code, out, err = call(*arguments)
    assert (code, err) == (0, "")
    return out


def found(*arguments):
    (line,) = done(*arguments, "--json").splitlines()
    return json.loads(line)


def fails(code, *arguments_then_parts):
    *arguments, parts = arguments_then_parts
    exit_code, out, err = call(*arguments)
    assert (exit_code, out) == (code, ""), err
    assert err.startswith("Error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    for part in parts:
        assert part in err
