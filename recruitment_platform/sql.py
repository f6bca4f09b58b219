"""The way to a SQL file of the package, so that no statement is written in Python.

What belongs here: finding a file's text, and its version. What does not: running it.
"""

import hashlib
from functools import cache
from importlib.resources import files


@cache
def load_sql(room: str, name: str) -> str:
    """The text of `recruitment_platform/<room>/<name>.sql`."""
    return files("recruitment_platform").joinpath(room, f"{name}.sql").read_text(encoding="utf-8")


def sql_version(room: str, *names: str) -> str:
    """Twelve hexadecimal digits that change with any of the files' texts."""
    return hashlib.sha256("\0".join(load_sql(room, name) for name in names).encode()).hexdigest()[:12]
