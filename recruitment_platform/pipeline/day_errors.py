"""A day's error, kept with its run.

`raw_tracking` and `job_hourly_events` record a day's error and go on, so that a bad day holds up no good ones; the
publishing step reads what was recorded and fails these days by name. What does not belong here: deciding what an
error is.
"""

import json
from datetime import date

from recruitment_platform.resources.protocols import ObjectStore


def _key(run_id: str, day: date) -> str:
    return f"day_errors/run={run_id}/dt={day}.json"


def record(store: ObjectStore, run_id: str, day: date, message: str) -> None:
    """Records the day's error; the first one recorded in a run stays."""
    store.put_if_absent(_key(run_id, day), json.dumps({"error": message}).encode())


def recorded(store: ObjectStore, run_id: str, day: date) -> str | None:
    """The error that an earlier step of the run recorded for the day."""
    try:
        return str(json.loads(store.get(_key(run_id, day)))["error"])
    except FileNotFoundError:
        return None
