"""A real Prometheus for tests: Debian's, unpacked into the cache of servers' software, or the machine's own.

What belongs here: getting it, its `promtool`, and a server that reads a page. What does not: what it is asked. Where it
cannot be had, tests that need it are skipped; where `CI` is set they fail.
"""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from recruitment_platform.errors import PlatformError
from recruitment_platform.servers.software import debian, installed
from recruitment_platform_tests.cli.command_line import free_port

SECONDS = 60
"""How long Prometheus may need to begin, and to have read a page."""


def install() -> Path:
    """The folder of its programs; InputError, StoreUnavailableError tell why it cannot be had."""
    own = shutil.which("promtool")
    if own is not None and shutil.which("prometheus"):
        return Path(own).parent
    return installed("prometheus", lambda folder: debian("prometheus", folder)) / "usr" / "bin"


def program(name: str) -> Path:
    """`prometheus` or `promtool`."""
    try:
        return install() / name
    except PlatformError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"Prometheus cannot be had: {error}")


def promtool(*arguments: str, stdin: str = "") -> str:
    """What promtool writes to stdout; fails where it finds anything wrong."""
    done = subprocess.run([program("promtool"), *arguments], input=stdin, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    return done.stdout


Ask = Callable[[str], list[dict[str, Any]]]
"""From PromQL to the instant vector: `metric` (labels) and `value` of each sample."""


@contextmanager
def prometheus(config: Path, folder: Path) -> Iterator[Ask]:
    """A server with that configuration, its data in the folder, until the end of the block."""
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]

    def ask(query: str) -> list[dict[str, Any]]:
        with urlopen(f"http://127.0.0.1:{port}/api/v1/query?{urlencode({'query': query})}", timeout=SECONDS) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    with (folder / "log.txt").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            _wait_for(lambda: bool(ask("sum(up) == count(up)")), process, folder / "log.txt")
            yield ask
        finally:
            process.terminate()


def _wait_for(is_so: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while True:
        assert process.poll() is None, log.read_text()
        try:
            if is_so():
                return
        except OSError:
            pass  # it does not listen yet
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)
