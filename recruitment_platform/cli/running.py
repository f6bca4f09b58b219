"""Runs of the platform started by a command: `run` and `demo` share them.

What belongs here: telling how a run goes and what became of it. What does not: what is run (`automation.run`).
"""

from datetime import date, datetime

from recruitment_platform.automation.instance import open_instance
from recruitment_platform.automation.run import RunOutcome, run_partitions
from recruitment_platform.cli.progress import note
from recruitment_platform.errors import PlatformError
from recruitment_platform.settings import Settings


class RunFailedError(PlatformError):
    """A run failed, or days of it; the exit code is that of the error behind it."""

    def __init__(self, outcome: RunOutcome) -> None:
        told = "" if outcome.run_id in outcome.message else f" (run {outcome.run_id})"
        super().__init__(outcome.message + told)
        self.exit_code = outcome.exit_code


def materialize(
    settings: Settings, first: date, last: date, as_of: datetime | None = None, *, restate: bool = False
) -> RunOutcome:
    """Refreshes dim_jobs, then materializes the days in one run, telling what it does and each day that failed.

    With `restate` days that are closed for billing are loaded too.
    """
    note(f"materializing {first} to {last} on {settings.engine}")
    with open_instance(settings) as instance:
        outcome = run_partitions(instance, settings, first, last, as_of=as_of, restate=restate, progress=note)
    for day, problem in sorted(outcome.failed_days.items()):
        note(f"{day}: failed: {problem}")
    return outcome
