"""Runs a command as a user would, and measures it from outside: wall time, CPU, and memory of all its processes."""

import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

SAMPLED_EVERY_SECONDS = 0.25
"""At most: what ends soon is looked at more often."""

WORTH_A_LOOK = 1.02
"""How much more than ever before has to be resident for the proportional set to be asked for: that goes through all
pages, and the process cannot get others meanwhile. Four looks a second at a gigabyte were a fifteenth of a core."""

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") // 1024


@dataclass(frozen=True)
class Measured:
    """A command's output, its wall time and CPU time in seconds, and the most memory that it held at once.

    Memory is that of all its processes (proportional set, MiB), to within a fiftieth. CPU of a process that nobody
    waits for, as Spark's Java, is told to within its last sample.
    """

    stdout: str
    seconds: float
    peak_mib: int
    cpu_seconds: float


def measured(home: Path, *arguments: str, settings: Mapping[str, str] | None = None) -> Measured:
    """Runs `recruitment-platform` with these arguments on that home; RuntimeError where it does not succeed."""
    return measured_python("-m", "recruitment_platform.cli", *arguments, home=home, settings=settings)


def measured_python(*arguments: str, home: Path, settings: Mapping[str, str] | None = None) -> Measured:
    """Runs this Python with these arguments, and settings for that home; RuntimeError where it does not succeed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RECRUITMENT_")}
    environment |= {"RECRUITMENT_HOME": str(home), **(settings or {})}
    return measured_command([sys.executable, *arguments], environment, home)


def measured_command(command: Sequence[str], environment: Mapping[str, str], output: Path) -> Measured:
    """Runs the command; what it prints goes to files beside `output`. RuntimeError where it does not succeed."""
    stdout_path, log = output.with_suffix(".out"), output.with_suffix(".log")
    began = time.monotonic()
    with stdout_path.open("w") as stdout, log.open("w") as stderr:
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environment, start_new_session=True)
        peak = most_resident = 0
        cpu: dict[int, float] = {}
        ended = os.pidfd_open(process.pid)
        pause = 0.02
        while not select.select([ended], [], [], pause)[0]:
            resident = _session_kib(process.pid, cpu, _resident_kib)
            if resident > WORTH_A_LOOK * most_resident:
                most_resident = resident
                peak = max(peak, _session_kib(process.pid, cpu, _proportional_kib))
            pause = min(SAMPLED_EVERY_SECONDS, (time.monotonic() - began) / 20)
        os.close(ended)
        # Not Popen.wait: it would throw away what the process and those that it waited for have used.
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}:\n{log.read_text()[-3000:]}")
    # Of a process that was waited for, both know; of one that was not, only the samples do.
    cpu_seconds = max(used.ru_utime + used.ru_stime, sum(cpu.values()))
    return Measured(stdout_path.read_text(), seconds, peak // 1024, cpu_seconds)


def _session_kib(session: int, cpu: dict[int, float], kib_of: Callable[[Path], int]) -> int:
    """Memory of all processes of the session: Spark's Java is one of its own. Notes the CPU seconds of each so far."""
    total = 0
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                if os.getsid(int(folder.name)) == session:
                    total += kib_of(folder)
                    user, system = (folder / "stat").read_text().rpartition(")")[2].split()[11:13]
                    cpu[int(folder.name)] = (int(user) + int(system)) / _TICKS_PER_SECOND
            except (OSError, ValueError):
                continue  # it ended while we looked
    return total


def _resident_kib(process: Path) -> int:
    return int((process / "statm").read_text().split()[1]) * _PAGE_KIB


def _proportional_kib(process: Path) -> int:
    lines = (process / "smaps_rollup").read_text().splitlines()
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
