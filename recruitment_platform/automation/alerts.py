"""Alerts: what is told of a failed run, in a log line and to a webhook.

What belongs here: an alert's text and fields, and sending it. What does not: noticing that a run has failed
(`sensors`). The webhook's address is a secret: it is in no log line and no error.
"""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from typing import Any

import dagster as dg

from recruitment_platform.assets.steps import FAILED_DAYS
from recruitment_platform.automation.attempts import attempts, inputs_of
from recruitment_platform.automation.in_flight import days_of
from recruitment_platform.partitions import spans
from recruitment_platform.settings import Settings

logger = logging.getLogger(__name__)

TRIES = 3
TIMEOUT = 10.0
"""Seconds for one try to reach the webhook, and for its answer."""

_CONNECTIONS = logging.getLogger("urllib3.connectionpool")


@dataclass(frozen=True)
class Alert:
    """A failed run: its days that failed, each with its error, and those of them that sensors ask for no more.

    `days` are all days of the run; where no day failed by itself, all did. `attempt` is the highest number of attempts
    that one of the failed days had had with its input when the run ended, of at most `max_attempts`; 0 where sensors
    did not ask for it.
    """

    job: str
    run_id: str
    error: str
    days: tuple[date, ...]
    failed_days: Mapping[date, str]
    attempt: int
    max_attempts: int
    given_up: tuple[date, ...]

    @property
    def text(self) -> str:
        """The alert in words, in one line or several."""
        about = f" for {spans(self.failed_days or self.days)}" if self.days else ""
        counted = f", attempt {self.attempt} of {self.max_attempts}" if self.attempt else ""
        end = (
            f"\ngiven up: {spans(self.given_up)}, until events of it come in; mend what the error tells, "
            "then run it by hand"
            if self.given_up
            else ""
        )
        return f"{self.job} failed{about}{counted} (run {self.run_id}): {self.error}{end}"

    def document(self) -> dict[str, Any]:
        """The alert as JSON: `text` for people, the rest for programs."""
        return {
            "text": self.text,
            "job": self.job,
            "run_id": self.run_id,
            "error": self.error,
            "days": [str(day) for day in self.days],
            "failed_days": {str(day): why for day, why in self.failed_days.items()},
            "attempt": self.attempt,
            "max_attempts": self.max_attempts,
            "given_up": [str(day) for day in self.given_up],
        }


def alert_of(context: dg.RunFailureSensorContext, settings: Settings) -> Alert:
    """What is to be told of the run."""
    run = context.dagster_run
    error, failed = _told(context)
    days = tuple(days_of(run))
    made = {
        day: attempts(context.instance, day, day_input, run.run_id).made
        for day, day_input in inputs_of(run).items()
        if day in failed or not failed
    }
    return Alert(
        job=run.job_name,
        run_id=run.run_id,
        error=error,
        days=days,
        failed_days=failed,
        attempt=max(made.values(), default=0),
        max_attempts=settings.max_attempts,
        given_up=tuple(sorted(day for day, number in made.items() if number >= settings.max_attempts)),
    )


def send(alert: Alert, settings: Settings) -> bool:
    """Logs the alert, and sends it where the settings say; False where the webhook could not be reached.

    Raises nothing: an alert that cannot be sent is logged, and must not fail what it is about.
    """
    logger.error(alert.text.replace("\n", "; "))
    if settings.alert_webhook is None:
        return True
    import requests

    problem = ""
    for number in range(TRIES):
        if number:
            time.sleep(2.0**number / 2)
        try:
            with _without_addresses():
                answer = requests.post(
                    settings.alert_webhook.get_secret_value(), json=alert.document(), timeout=TIMEOUT
                )
        except requests.RequestException as error:
            problem = type(error).__name__  # its text has the address in it
            continue
        if answer.ok:
            return True
        problem = f"HTTP {answer.status_code}"
        if 400 <= answer.status_code < 500 and answer.status_code != requests.codes.too_many_requests:
            break
    logger.error("the alert of run %s could not be sent to RECRUITMENT_ALERT_WEBHOOK: %s", alert.run_id, problem)
    return False


def _told(context: dg.RunFailureSensorContext) -> tuple[str, dict[date, str]]:
    """The run's error in one line where the platform raised it, and the errors of its days."""
    for event in context.get_step_failure_events():
        told = event.step_failure_data.user_failure_data
        if told is None:
            error = event.step_failure_data.error
            while error is not None and error.cause is not None:
                error = error.cause
            return (error.message.strip() if error else "it failed"), {}
        found = told.metadata.get(FAILED_DAYS)
        value = found.value if found else None
        failed = {date.fromisoformat(day): str(why) for day, why in value.items()} if isinstance(value, dict) else {}
        return told.description or "", failed
    return context.failure_event.message or "it failed", {}


@contextmanager
def _without_addresses() -> Iterator[None]:
    """Keeps back the lines of the library below requests, which name what is connected to."""

    def nothing(record: logging.LogRecord) -> bool:
        return False

    _CONNECTIONS.addFilter(nothing)
    try:
        yield
    finally:
        _CONNECTIONS.removeFilter(nothing)
