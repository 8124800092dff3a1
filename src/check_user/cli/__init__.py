"""The command line: arguments in, output and exit codes out.

==  ===================================================================================
0   all is well; ``lookup``: every address is known
1   ``lookup``: at least one is unknown or refused; ``check``: at least one error
2   usage
3   ``lookup``: all could be told, none is refused, at least one is foreign
69  EX_UNAVAILABLE: no database could be reached
75  EX_TEMPFAIL: ``lookup``: at least one address could not be told
78  EX_CONFIG: the configuration is wrong, a missing table or column included
==  ===================================================================================

(Numbers above 63 as in sysexits(3); 130 and 141 as a shell tells SIGINT and SIGPIPE.) Errors are
one line on stderr.

Each command imports what it needs when it is run: ``opensmtpd`` lives as long as the mail server,
and reading a configuration alone would take it half as much memory again, a driver twice as much.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING

from check_user.cli.arguments import parser

if TYPE_CHECKING:
    from check_user.directory import Finding

Command = Callable[[argparse.Namespace], int]

INTERRUPTED = 130
BROKEN_PIPE = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; ``arguments`` are without the program's name. Returns the exit code."""
    options = parser().parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # whatever the locale says
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
    try:
        code = COMMANDS[options.command](options)
        if sys.stdout is not None:  # closed from the beginning, as by `>&-`
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `| head`: the rest is not wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    return code


def _configured(command: Command) -> Command:
    """Have a command's failures told in a line; what is raised by whoever reads a configuration."""

    @wraps(command)
    def run(options: argparse.Namespace) -> int:
        from check_user.config import ConfigError, find
        from check_user.directory import Misconfigured, Unavailable

        try:
            return command(options)
        except ConfigError as error:
            return _fail(os.EX_CONFIG, str(error))
        except Misconfigured as error:
            return _fail(os.EX_CONFIG, f"{find(options.config)}: {error}")
        except Unavailable as error:
            return _fail(os.EX_UNAVAILABLE, f"no database can be reached: {error}")

    return run


def _fail(code: int, message: str) -> int:
    from check_user.telemetry import printable

    print(f"check-user: {printable(message)}", file=sys.stderr)
    return code


@_configured
def _serve(options: argparse.Namespace) -> int:
    from check_user.app.serve import serve
    from check_user.config import find

    serve(find(options.config))
    return os.EX_OK


@_configured
def _lookup(options: argparse.Namespace) -> int:
    from check_user.cli.lookup import lookup

    return lookup(options)


@_configured
def _init(options: argparse.Namespace) -> int:
    from check_user.cli.init import init

    return init(options)


@_configured
def _demo(options: argparse.Namespace) -> int:
    from check_user.cli.demo import demo

    return demo(options)


def _opensmtpd(options: argparse.Namespace) -> int:
    from check_user.cli.opensmtpd import opensmtpd

    return opensmtpd(options)


@_configured
def _recipe(options: argparse.Namespace) -> int:
    from check_user.cli.recipe import print_recipe

    return print_recipe(options)


@_configured
def _replica(options: argparse.Namespace) -> int:
    from check_user.cli.replica import replica

    return replica(options)


@_configured
def _check(options: argparse.Namespace) -> int:
    import asyncio

    from check_user.app.doctor import examine
    from check_user.config import find
    from check_user.directory import Level

    findings = asyncio.run(examine(find(options.config)))
    for finding in findings:
        print(_line(finding))
    return int(any(finding.level is Level.ERROR for finding in findings))


def _line(finding: Finding) -> str:
    from check_user.telemetry import printable

    advice = f"; {finding.advice}" if finding.advice else ""
    return printable(f"{finding.level.value:7} {finding.subject}: {finding.message}{advice}")


@_configured
def _config(options: argparse.Namespace) -> int:
    from check_user.config import find, in_force, load, reference

    print(reference() if options.reference else in_force(load(find(options.config))), end="")
    return os.EX_OK


COMMANDS: Mapping[str, Command] = {
    "serve": _serve,
    "lookup": _lookup,
    "check": _check,
    "init": _init,
    "demo": _demo,
    "opensmtpd": _opensmtpd,
    "recipe": _recipe,
    "replica": _replica,
    "config": _config,
}
