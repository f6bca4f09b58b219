"""The command line, `recruitment-platform`.

What belongs here: the list of commands, each loaded only when it is called, and how a failure becomes one or two lines
and an exit code. What does not: the commands, one module each. Data goes to stdout, everything else to stderr.
"""

import errno
import gc
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from recruitment_platform.errors import PlatformError

NAME = "recruitment-platform"

COMMANDS = {
    "demo": "A week of simulated traffic through the whole platform, scored against the truth.",
    "simulate": "Sends simulated traffic, whose facts are known, into the lake.",
    "migrate": "Makes what the stores of the profile need: keyspace, tables, topic.",
    "import": "Takes exports of the site's tables in: CSV, JSON lines or Parquet.",
    "produce": "Sends simulated traffic or exported events into Kafka.",
    "ingest": "Takes events in from Kafka: all that is there, or what comes.",
    "run": "Materializes a range of days, from the lake to the fact table.",
    "backfill": "Materializes the days of a range that need it, in runs of some days, the newest first.",
    "close": "Closes the days up to one for billing: from then on their facts stay as they are.",
    "adjustments": "What events that came after the close would change of closed days.",
    "restate": "Replaces closed days by what their events say now, on purpose.",
    "status": "How every day stands, and what was rejected.",
    "audit": "What a day's figures are made of, and what each load of it changed.",
    "rejected": "Lists rejected rows, and takes mended ones in again.",
    "clean": "Removes leftovers of killed runs, and what is superseded.",
    "query": "Answers one SQL statement from the warehouse.",
    "metrics": "Serves the platform's own figures to Prometheus.",
    "servers": "Starts, lists and stops the real servers as processes of this machine, for development.",
    "ui": "Serves Dagster's web page and runs its daemon.",
}
"""Every command and what it does, in the order of `--help`."""

EXIT_CODES = {
    0: "done",
    1: "failed: the message says what, and what to do",
    2: "the command, its input or a setting cannot be used",
    3: "a store cannot be used: held by another program, full, not writable",
    4: "counts do not reconcile, or differ from the simulation's truth: such days are not as they should be",
    5: "something newer is in force already: this older work changed nothing",
    130: "interrupted",
}
"""What each exit code means."""

EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code:<4} {meaning}" for code, meaning in EXIT_CODES.items())

_STORE_ERRORS = {
    errno.ENOSPC: "make room there",
    errno.EDQUOT: "make room there",
    errno.EFBIG: "the file may not grow further: raise the limit",
    errno.EACCES: "make it readable and writable",
    errno.EPERM: "make it readable and writable",
    errno.EROFS: "it must be writable",
    errno.ENOTDIR: "a part of the path is no folder",
    errno.EISDIR: "it is a folder",
    errno.ENAMETOOLONG: "choose a shorter path",
    errno.ELOOP: "a symbolic link leads to itself",
    errno.EIO: "the disk fails",
}
"""Failures of the file system that are no mistake of ours, and what to do."""


class _Commands(click.Group):
    """Loads a command's module when it is called: `--help` and `query` do not wait for what `run` needs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"{__name__}.{cmd_name}_command")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(
    cls=_Commands,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name=NAME)
def cli() -> None:
    """A recruitment site's data platform: tracking events in, hourly facts per job out.

    \b
    Everything lies under the folder RECRUITMENT_HOME, .recruitment where it is not set.
    Other settings are environment variables too; the README lists them.

    \b
    Examples:
      recruitment-platform demo
      recruitment-platform import tracking exports/*.csv
      recruitment-platform run --from 2022-07-06 --to 2023-01-14
      recruitment-platform query --format csv "select * from job_performance" > facts.csv
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command, of this process by default, and returns its exit code; what a user can cause is no traceback."""
    warnings = logging.StreamHandler()  # to stderr
    warnings.setLevel(logging.WARNING)
    logging.basicConfig(handlers=[warnings], format="%(levelname)s %(name)s: %(message)s")
    if arguments is None:
        # Loading makes a million objects that stay. Python looked for garbage among them five hundred times.
        gc.set_threshold(100_000)
    try:
        given = list(sys.argv[1:] if arguments is None else arguments)
        # Not `cli.main`, which turns a reader of stdout that has ended into a failure.
        with cli.make_context(NAME, given) as context:
            cli.invoke(context)
        sys.stdout.flush()
    except PlatformError as error:
        return _failed(str(error), error.exit_code)
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else NAME
        return _failed(f"{error.format_message()}\nsee: {command} --help", 2)
    except click.ClickException as error:
        return _failed(error.format_message(), 1)
    except click.exceptions.Exit as left:
        return left.exit_code
    except (click.Abort, KeyboardInterrupt):
        return _failed("interrupted; the same command again goes on from what is complete", 130)
    except BrokenPipeError:
        # Whoever read stdout has ended, as `head` does: Python must not try to write the rest at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        advice = _STORE_ERRORS.get(error.errno or 0)
        if advice is None:
            raise
        where = error.filename2 or error.filename or "what is written"
        return _failed(f"{where}: {error.strerror}; {advice}", 3)
    return 0


def _failed(message: str, code: int) -> int:
    click.echo(f"error: {message}", err=True)
    return code
