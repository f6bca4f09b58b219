"""The process in which gates live, ruled by the test through a manager's proxies.

What belongs here: starting and ending it, and what a gate is told. What does not: the gate (`gate`), which only that
process loads: it brings sqlfluff along.
"""

import ctypes
import multiprocessing
import signal
from dataclasses import dataclass
from multiprocessing.managers import BaseManager
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Bucket:
    """The S3 server behind the gate, and the role by which COPY may read it."""

    endpoint: str
    region: str
    access_key: str
    secret_key: str
    role: str


class GateProcess(BaseManager):
    """The process: `start(initializer=end_with_parent)`, then `gate(…)` as `Gate` takes it, then `shutdown()`.

    A new Python, not a copy of the test's: in a copy, a DuckDB of the test's has none of its threads, and to let go of
    it there ends the process with a signal.
    """

    def __init__(self) -> None:
        super().__init__(ctx=multiprocessing.get_context("spawn"))


def _gate(upstream: tuple[str, int, str, str], bucket: Bucket, certificate: Path | None, isolation: str) -> Any:
    from recruitment_platform_tests.redshift_gate.gate import Gate

    return Gate(upstream, bucket, certificate, isolation)


GateProcess.register("gate", _gate)


def end_with_parent() -> None:
    """Of the gate's process: it must not outlive the test run, however that ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
