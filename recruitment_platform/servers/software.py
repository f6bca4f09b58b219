"""Where the servers' software comes from, and the folder that keeps it for later runs.

What belongs here: that folder, Maven, Debian's package tools. What does not: what a server needs of them.
"""

import fcntl
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from recruitment_platform.errors import InputError, StoreUnavailableError

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """`recruitment-platform/servers` within the user's cache folder (`XDG_CACHE_HOME`, ~/.cache by default)."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "recruitment-platform" / "servers"


def installed(name: str, fetch: Callable[[Path], None]) -> Path:
    """The folder of that name in the cache; where it is not there yet, `fetch` fills it, once, whoever asks at once."""
    folder = cache_folder() / name
    if folder.exists():
        return folder
    with locked(folder.parent / f"{name}.lock"):
        if folder.exists():
            return folder
        partial = folder.with_name(f"{name}.partial")
        shutil.rmtree(partial, ignore_errors=True)  # of one that was killed
        partial.mkdir()
        fetch(partial)
        partial.rename(folder)
    return folder


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Waits until no other process holds the file of that path, which is made, and holds it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def tell(text: str) -> None:
    """One line about what takes long, to the log: who calls decides where it is shown."""
    _log.info("%s", text)


def maven(pom: Path, folder: Path) -> None:
    """The jars that the pom names, with all that they need, into the folder."""
    program = tool("mvn", "apt-get install maven")
    what = f"fetching the jars of {pom.stem.removesuffix('_pom')} by Maven"
    tell(what)
    run(
        [
            *(program, "--quiet", "--batch-mode", "--file", str(pom), "dependency:copy-dependencies"),
            *("-DincludeScope=runtime", f"-DoutputDirectory={folder}"),
        ],
        what,
    )


def debian(package: str, folder: Path) -> None:
    """A Debian package, and those that it needs and the machine lacks, unpacked into the folder and not installed."""
    tool("apt-get", f"get {package} by your system's own means")
    plan = run(["apt-get", "install", "--simulate", "--no-install-recommends", package], f"looking for {package}")
    names = [line.split()[1] for line in plan.splitlines() if line.startswith("Inst ")]
    tell(f"fetching Debian's {' '.join(names)}")
    with tempfile.TemporaryDirectory() as scratch:
        run(["apt-get", "download", *names], f"fetching Debian's {' '.join(names)}", folder=Path(scratch))
        for archive in sorted(Path(scratch).glob("*.deb")):
            run(["dpkg-deb", "--extract", str(archive), str(folder)], f"unpacking {archive.name}")


def tool(name: str, advice: str) -> str:
    """The full path of a program; InputError where the machine has none, with what to do."""
    path = shutil.which(name)
    if path is None:
        raise InputError(f"{name} is not on this machine: {advice}")
    return path


def run(
    command: Sequence[str],
    what: str,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> str:
    """Runs a command and returns its stdout; StoreUnavailableError with its last words where it fails."""
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **(environment or {})}, input=stdin, capture_output=True, text=True
    )
    if done.returncode:
        lines = [line.strip() for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise StoreUnavailableError(
            f"{what} failed: {' '.join(lines[-2:])[:500] if lines else f'exit code {done.returncode}'}"
        )
    return done.stdout
