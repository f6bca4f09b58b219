"""The schedules: at which time of the platform's day the jobs run.

What belongs here: times, and which day a tick means. What does not: late events and days that were missed, which a
schedule cannot know of. https://docs.dagster.io/guides/automate/schedules
"""

from datetime import timedelta

import dagster as dg

from recruitment_platform.automation import refresh
from recruitment_platform.automation.jobs import daily_facts, refresh_dim_jobs
from recruitment_platform.partitions import local_day
from recruitment_platform.settings import Settings

DAILY_FACTS_AT = "0 6 * * *"
"""Six hours after midnight, when the events of the day before that come a little late are there."""
DIM_JOBS_AT = f"{refresh.MINUTE} {refresh.HOUR} * * *"
"""Before the daily job, which joins the newest version."""
REFRESH_SCHEDULE = "refresh_dim_jobs_schedule"


def schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """The daily job's and dim_jobs', in the platform's time zone, running by default."""

    @dg.schedule(
        job=daily_facts,
        cron_schedule=DAILY_FACTS_AT,
        execution_timezone=settings.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Materializes the day before.",
    )
    def daily_facts_schedule(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        # Not `build_schedule_from_partitioned_job`: it names the last partition, which is today.
        day = local_day(context.scheduled_execution_time, settings) - timedelta(days=1)
        if day < settings.first_day:
            return dg.SkipReason(f"{day} is before the first day, {settings.first_day}")
        # Both schedules tick at once where the daemon comes back late, and a refresh may take long.
        found = refresh.newest_refresh(context.instance, settings, context.scheduled_execution_time)
        if found.state == "under way" or (found.made == 0 and not _is_stopped(context.instance, REFRESH_SCHEDULE)):
            return dg.SkipReason(f"dim_jobs is not refreshed yet: the sensors ask for {day} as soon as it is")
        return dg.RunRequest(run_key=str(day), partition_key=str(day))

    dim_jobs_schedule = dg.ScheduleDefinition(
        name=REFRESH_SCHEDULE,
        job=refresh_dim_jobs,
        cron_schedule=DIM_JOBS_AT,
        execution_timezone=settings.time_zone,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Refreshes dim_jobs, half an hour before the daily job.",
    )
    return [dim_jobs_schedule, daily_facts_schedule]


def _is_stopped(instance: dg.DagsterInstance, schedule: str) -> bool:
    """Whether someone has turned the schedule off: its absence among the states means that it is as declared."""
    states = instance.all_instigator_state()
    return any(state.instigator_name == schedule and state.status.name == "STOPPED" for state in states)
