"""A process of its own that imports a file, for tests of killed imports and of imports at once.

    python -m recruitment_platform_tests.ingest.import_process HOME TABLE PATH [KILL_AFTER]

Opens the stores, prints `ready`, waits for a line on stdin, imports in batches of 250 rows, and prints what came of it
as JSON. With KILL_AFTER it kills itself by SIGKILL when it has touched files and databases so many times.
"""

import json
import os
import signal
import sys
from itertools import count
from pathlib import Path

from recruitment_platform.ingest import readers
from recruitment_platform_tests.ingest.stores import Stores

TOUCHES = frozenset(("open", "os.link", "os.mkdir", "os.remove", "os.rename", "sqlite3.connect"))


def main(home: str, table: str, path: str, kill_after: str = "") -> None:
    readers.BATCH_ROWS = 250
    stores = Stores(Path(home))
    print("ready", flush=True)
    sys.stdin.readline()
    if kill_after:
        touches = count(1)

        def kill(event: str, _: object) -> None:
            if event in TOUCHES and next(touches) == int(kill_after):
                os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(kill)
    result = stores.take(table, Path(path))
    print(json.dumps({"received": result.received, "accepted": result.accepted, "known": result.already_known}))


if __name__ == "__main__":
    main(*sys.argv[1:])
