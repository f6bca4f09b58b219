"""The order in which queued runs begin: newest days first.

What belongs here: the priority of a run that goes into the queue. What does not: how many runs may be under way at once
(`dagster.yaml`). Named by `dagster.yaml`, so that the web page, the daemon and every other program that hands in runs
takes it. https://docs.dagster.io/deployment/execution/customizing-run-queue-priority
"""

from datetime import UTC, date, datetime

import dagster as dg
from dagster._core.run_coordinator.base import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator

from recruitment_platform.automation.in_flight import days_of

PRIORITY_TAG = "dagster/priority"


class NewestDaysFirst(QueuedRunCoordinator[dg.DagsterInstance]):
    """Dagster's queue, with a priority for each run that names days.

    Dagster parts a backfill into runs from its oldest day on, and gives all of them the same tags: so the order is set
    here, where each run is handed in.
    """

    def submit_run(self, context: SubmitRunContext) -> dg.DagsterRun:
        """Puts the run into the queue."""
        run = context.dagster_run
        found = priority(run, datetime.now(UTC).date())
        if found is not None:
            self._instance.add_run_tags(run.run_id, {PRIORITY_TAG: str(found)})
        return super().submit_run(context)


def priority(run: dg.DagsterRun, today: date) -> int | None:
    """Minus the age of the run's newest day, in days; a run that names none has 0, and so goes first, as dim_jobs must.

    None where the run keeps the priority that it has: someone's own, or Dagster's 0.
    """
    found = days_of(run)
    return None if PRIORITY_TAG in run.tags or not found else (found[-1] - today).days
