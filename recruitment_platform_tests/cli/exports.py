"""Exports as a site's people would have them: small files with rows that a test can count.

What belongs here: writing such files. What does not: reading them.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from recruitment_platform_tests.site import time_uuid

HEADER = "create_time,custom_track,job_id,publisher_id,bid,ts,ed"
START = datetime(2025, 6, 2, 10, tzinfo=UTC)


def clicks(path: Path, count: int, bad: int = 0, start: datetime = START) -> Path:
    """A CSV of `count` clicks on job 1, five seconds apart, followed by `bad` rows whose job is no integer."""
    lines = [HEADER]
    for number in range(count + bad):
        job = "1.0" if number < count else "one"
        lines.append(f"{time_uuid(start + timedelta(seconds=5 * number), number % 99)},click,{job},1,0.25,,")
    path.write_text("\n".join(lines) + "\n")
    return path


def jobs(path: Path) -> Path:
    """A CSV of job 1."""
    path.write_text("id,title,status,campaign_id,company_id,group_id\n1,Cook,1,10,100,7\n")
    return path
