"""A process of its own that refreshes dim_jobs, for tests of refreshes at once and of killed ones.

    python -m recruitment_platform_tests.resources.relational_process STORE FOLDER AS_OF [KILL_AFTER]

Opens the store, prints `ready`, waits for a line on stdin, refreshes, and prints what came of it as JSON. With
KILL_AFTER it kills itself by SIGKILL after that many statements of the refresh; where there are fewer, it ends well.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from datetime import datetime
from itertools import count
from pathlib import Path

import sqlalchemy as sa

from recruitment_platform.errors import PlatformError
from recruitment_platform_tests.resources.relational_stores import ALIASES, OPENERS


def main(store_name: str, folder: str, as_of: str, kill_after: str = "") -> None:
    store = OPENERS[store_name](Path(folder))
    if kill_after:
        numbers = count(1)

        @sa.event.listens_for(store.engine, "after_cursor_execute")
        def kill(*_: object) -> None:
            if next(numbers) == int(kill_after):
                os.kill(os.getpid(), signal.SIGKILL)

    print("ready", flush=True)
    sys.stdin.readline()
    try:
        done = store.refresh_dim_jobs(datetime.fromisoformat(as_of), "USD", ALIASES)
    except PlatformError as error:
        print(json.dumps({"error": type(error).__name__, "message": str(error)}))
    else:
        print(json.dumps({"version": done.version, "opened": done.opened, "changed": done.changed}))


def _run(arguments: Sequence[str]) -> None:
    main(*arguments)


if __name__ == "__main__":
    _run(sys.argv[1:])
