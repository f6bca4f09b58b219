"""Runs the command line as a user would, and measures it from outside: wall time, and memory of all its processes."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SAMPLED_EVERY_SECONDS = 0.25


@dataclass(frozen=True)
class Measured:
    """A command's output, its wall time in seconds, and the most memory (proportional set, MiB) it held at once."""

    stdout: str
    seconds: float
    peak_mib: int


def measured(home: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> Measured:
    """Runs `recruitment-platform` with these arguments on that home; RuntimeError where it does not succeed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECRUITMENT_")}
    environment |= {"RECRUITMENT_HOME": str(home), **(settings or {})}
    output, log = home.with_suffix(".out"), home.with_suffix(".log")
    began = time.monotonic()
    with output.open("w") as stdout, log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "recruitment_platform.cli", *arguments],
            stdout=stdout,
            stderr=stderr,
            env=environment,
            start_new_session=True,
        )
        peak = 0
        while process.poll() is None:
            peak = max(peak, _session_kib(process.pid))
            time.sleep(SAMPLED_EVERY_SECONDS)
    seconds = time.monotonic() - began
    if process.returncode:
        raise RuntimeError(f"{arguments} ended with {process.returncode}:\n{log.read_text()[-3000:]}")
    return Measured(output.read_text(), seconds, peak // 1024)


def _session_kib(session: int) -> int:
    """Memory of all processes of the session: Spark's Java is one of its own."""
    total = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if os.getsid(int(folder.name)) == session:
                    total += _proportional_kib(folder / "smaps_rollup")
            except (OSError, ValueError):
                continue  # it ended while we looked
    return total


def _proportional_kib(smaps: Path) -> int:
    return next(int(line.split()[1]) for line in smaps.read_text().splitlines() if line.startswith("Pss:"))
