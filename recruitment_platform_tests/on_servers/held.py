"""Commands of the platform in processes of their own, held at a moment of the test's choice: to kill them or a server.

What belongs here: starting them, holding them, what came of them. What does not: what is killed, and what must hold
then (the tests). A command takes in small batches, so that there is a middle to be killed in.
"""

import importlib
import multiprocessing
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from recruitment_platform.cli import main
from recruitment_platform.ingest import event_log
from recruitment_platform.resources.kafka import log as kafka
from recruitment_platform_tests.cli.command_line import environment
from recruitment_platform_tests.on_servers.platform import Platform

_CONTEXT = multiprocessing.get_context("forkserver")
# What all commands import, imported once.
_CONTEXT.set_forkserver_preload([__name__, "recruitment_platform.definitions"])

_SECONDS = 240
_ROWS_OF_A_BATCH = 400


@dataclass(frozen=True)
class Moment:
    """Just before a call of the function at `place`, as `module:Class.name`, one of whose arguments matches."""

    place: str
    pattern: str = ""
    number: int = 1
    """Which of these calls, from 1."""


@dataclass(frozen=True)
class Held:
    """A command that was started; `reached` is when it has come to its moment, where it waits for `released`."""

    process: BaseProcess
    reached: Any
    released: Any
    log: Path

    def comes(self) -> None:
        """Returns when it is held."""
        while not self.reached.wait(1):
            assert self.process.is_alive(), f"it ended before: {self.log.read_text()}"

    def goes_on(self) -> None:
        """Lets it go on."""
        self.released.set()

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.join(_SECONDS)

    def ends(self) -> tuple[int | None, str]:
        """(its exit code, what it wrote) when it has ended."""
        self.process.join(_SECONDS)
        return self.process.exitcode, self.log.read_text(encoding="utf-8")


@contextmanager
def command(platform: Platform, *arguments: str, at: Moment | None = None) -> Iterator[Held]:
    """Starts the command; it is killed at the end where it still runs."""
    log = platform.home.with_name(f"{platform.home.name}-{next(_numbers)}.log")
    reached, released = _CONTEXT.Event(), _CONTEXT.Event()
    given = (environment(platform.home, platform.settings), arguments, log, at, reached, released)
    process = _CONTEXT.Process(target=_run, args=given)
    process.start()
    try:
        yield Held(process, reached, released, log)
    finally:
        process.kill()
        process.join(_SECONDS)


def succeed(platform: Platform, *arguments: str) -> str:
    """Runs a command that must succeed; what it wrote."""
    with command(platform, *arguments) as done:
        code, told = done.ends()
    assert code == 0, f"{arguments} ended with {code}:\n{told}"
    return told


_numbers = count()


def _run(
    variables: Mapping[str, str], arguments: tuple[str, ...], log: Path, at: Moment | None, reached: Any, released: Any
) -> None:
    os.environ.clear()
    os.environ.update(variables)
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    event_log.BATCH_ROWS = kafka.READ_AT_ONCE = _ROWS_OF_A_BATCH
    if at is not None:
        _hold(at, reached, released)
    sys.exit(main(arguments))


def _hold(at: Moment, reached: Any, released: Any) -> None:
    module, _, path = at.place.partition(":")
    *owners, name = path.split(".")
    owner: Any = importlib.import_module(module)
    for one in owners:
        owner = getattr(owner, one)
    real, calls = getattr(owner, name), count(1)

    def held(*arguments: Any, **named: Any) -> Any:
        matches = any(re.search(at.pattern, str(argument)) for argument in (*arguments, *named.values()))
        if matches and next(calls) == at.number:
            reached.set()
            released.wait()
        return real(*arguments, **named)

    setattr(owner, name, held)
