"""What goes wrong with the platform's own parts: processes killed at a chosen moment, state that is lost.

What belongs here: waiting for the moment, and doing it. What does not: starting anew, and what must come of it.
"""

import os
import re
import signal
import time
from contextlib import suppress

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, TickStatus

from recruitment_platform.automation.instance import seen_instance
from recruitment_platform.settings import Settings

SECONDS = 60.0
"""How long a moment is waited for."""

_PID = re.compile(r"\(pid: (\d+)\)")


def run_under_way(settings: Settings) -> str | None:
    """The id of a run that has begun, once there is one; None where none does for a while."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if runs := unfinished(settings, dg.DagsterRunStatus.STARTED):
            return runs[0].run_id
        time.sleep(0.2)
    return None


def tick_under_way(settings: Settings, sensor: str) -> bool:
    """Waits until the sensor is looking; False where it does not for a while."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with seen_instance(settings) as instance:
            if instance is not None and any(_is_looking(instance, state) for state in _states(instance, sensor)):
                return True
        time.sleep(0.02)
    return False


def unfinished(settings: Settings, *statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
    """The home's runs of these statuses."""
    with seen_instance(settings) as instance:
        return [] if instance is None else list(instance.get_runs(dg.RunsFilter(statuses=statuses)))


def kill_run(settings: Settings, run_id: str) -> bool:
    """Ends the run's process, and nothing else; False where it was gone already."""
    with seen_instance(settings) as instance:
        told = [] if instance is None else [entry.message for entry in instance.all_logs(run_id)]
    for pid in {int(pid) for line in told for pid in _PID.findall(line)}:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            return True
    return False


def forget(settings: Settings, sensor: str) -> bool:
    """Deletes the sensor's cursor, its ticks and whether it is on; False where there was nothing."""
    with seen_instance(settings) as instance:
        states = [] if instance is None else _states(instance, sensor)
        for state in states:
            assert instance is not None
            origin, selector = state.instigator_origin_id, state.selector_id
            instance.delete_instigator_state(origin, selector)
            instance.purge_ticks(origin, selector, before=time.time(), tick_statuses=list(TickStatus))
    return bool(states)


def _states(instance: dg.DagsterInstance, sensor: str) -> list[InstigatorState]:
    return [state for state in instance.all_instigator_state() if state.instigator_name == sensor]


def _is_looking(instance: dg.DagsterInstance, state: InstigatorState) -> bool:
    ticks = instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=1)
    return bool(ticks) and ticks[0].status == TickStatus.STARTED
