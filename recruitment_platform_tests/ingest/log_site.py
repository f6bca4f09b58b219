"""A topic with simulated traffic, lakes that it is taken into, and whether they hold what the truth says.

What belongs here: making them, running the processes of `log_process`, comparing with the truth. What does not: what
happens in between (the tests).
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from recruitment_platform.addresses import KafkaAddress
from recruitment_platform.ingest.event_log import Ingested, drain
from recruitment_platform.resources.kafka.log import KafkaEventLog, open_event_log
from recruitment_platform.resources.stores import door_rules
from recruitment_platform.servers.server import Server
from recruitment_platform.simulation.score import score
from recruitment_platform.simulation.truth import DayCounts, day_counts, rejected_by_receive_day, truth_for
from recruitment_platform_tests.simulation.homes import Home, make_home

PARTITIONS = 3


@dataclass(frozen=True)
class LogSite:
    """A home whose events come by the log."""

    home: Home
    log: KafkaEventLog

    def beside(self, folder: Path) -> "LogSite":
        """Another lake for the same topic, with the same jobs and the same truth."""
        shutil.copytree(self.home.settings.home, folder, ignore=shutil.ignore_patterns("lake", "objects"))
        return LogSite(make_home(folder), self.log)

    def drain(self) -> Ingested:
        return drain(self.log, self.home.lake, door_rules(self.home.settings))

    def received(self) -> dict[str, int]:
        """By source partition the messages that are in the lake, good and bad; sound books are asserted."""
        states = self.home.lake.sources()
        assert all(state.received == state.accepted + state.rejected for state in states)
        return {state.source: state.received for state in states}

    def in_topic(self) -> dict[str, int]:
        """By source partition the messages that are in the topic."""
        topic = self.log.topic()
        return {topic.source(number): end for number, (_, end) in self.log.ranges(topic.partitions).items()}

    @contextmanager
    def process(self, what: str, group: str = "ingest", moment: str = "") -> Iterator["LogProcess"]:
        """The process of `log_process`; killed at the end where it still runs."""
        address = self.log.address
        module = "recruitment_platform_tests.ingest.log_process"
        arguments = [what, str(self.home.settings.home), str(address.servers), address.topic, group, moment]
        command = [sys.executable, "-W", "error", "-m", module, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield LogProcess(process)
            finally:
                process.kill()


@dataclass(frozen=True)
class LogProcess:
    """One process, and what it tells."""

    process: subprocess.Popen[str]

    def tells(self, start: str) -> str:
        """Its next line that starts so, when it comes."""
        assert self.process.stdout is not None
        seen = []
        for line in self.process.stdout:
            seen.append(line)
            if line.startswith(start):
                return line.strip()
        assert self.process.stderr is not None
        raise AssertionError(f"it ended before {start!r}: {seen}, {self.process.stderr.read()}")

    def ends(self) -> int:
        """Its exit code, when it has ended; what it wrote to stderr is in the failure."""
        self.process.communicate()
        return self.process.returncode


def log_site(server: Server, folder: Path, topic: str) -> LogSite:
    """An empty home, and its topic."""
    log = open_event_log(KafkaAddress(servers=f"{server.host}:{server.port}", topic=topic))
    assert log.create_topic(PARTITIONS)
    return LogSite(make_home(folder), log)


def assert_truth(site: LogSite, *, sent_twice: bool = False) -> None:
    """The facts are the truth's, row by row, and so are the counts.

    Where messages were `sent_twice`, there must be more rows, all of which are duplicates.
    """
    home = site.home
    counts = day_counts(home.truth)
    found = {
        day: DayCounts(snapshot.accepted, snapshot.distinct, snapshot.duplicates, snapshot.conflicts)
        for day, snapshot in home.snapshots().items()
    }
    rejected = sum(home.lake.rejected_by_ingest_day().values())
    must = sum(rejected_by_receive_day(home.truth).values())
    if sent_twice:
        again = {day: counts_of.duplicates - counts[day].duplicates for day, counts_of in found.items()}
        assert sum(again.values()) > 0
        found = {
            day: DayCounts(one.accepted - again[day], one.distinct, one.duplicates - again[day], one.conflicts)
            for day, one in found.items()
        }
        assert rejected >= must
    else:
        assert rejected == must
    assert found == counts
    days, facts = home.facts()
    assert all(day.matched for day in score(facts, truth_for(home.truth, days), days))
