"""The load of a day's facts into Redshift's stand-in, against COPY bare: one table's line, as `speed` prints them.

What belongs here: what is measured, both ways in turns through the gate in front of PostgreSQL, each into tables of its
own, the rows compared. What does not: the load into the embedded warehouse (`lines`).
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from shutil import copy2

import redshift_connector

from benchmarks.comparison import HEADER
from benchmarks.traffic import FIRST, ledger_row, write_facts
from recruitment_platform.model.contract import HOURLY_FACTS
from recruitment_platform.pipeline.totals import FactTotals, fact_totals
from recruitment_platform.resources.protocols import DayTotals
from recruitment_platform.resources.redshift.copying import StagedFile, checked_files, copy_manifest
from recruitment_platform.resources.redshift.warehouse import open_redshift
from recruitment_platform.servers.starting import start_server
from recruitment_platform_tests.redshift_fixtures import ROLE, RedshiftPlace, open_gate, redshift_place
from recruitment_platform_tests.redshift_gate.process import GateProcess, end_with_parent

KEY = "facts/staged.parquet"
TABLE = HOURLY_FACTS.name


def main() -> None:
    """Loads a day of facts in both ways; prints a Markdown table."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--times", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        file = folder / "facts.parquet"
        write_facts(file, asked.rows)
        totals = fact_totals([file], FIRST)
        postgres, s3, process = start_server("postgres", folder), start_server("s3", folder), GateProcess()
        process.start(initializer=end_with_parent)
        try:
            gate = open_gate(process, postgres, s3)
            own, verification, peer = [], [], []
            for time_ in range(asked.times):
                scratch = folder / f"cache-{time_}"
                seconds, apart = load(redshift_place(gate, postgres, s3, scratch / "own"), file, totals)
                own.append(seconds)
                verification.append(apart)
                peer.append(copy_bare(redshift_place(gate, postgres, s3, scratch / "peer"), file, totals))
        finally:
            process.shutdown()
            postgres.kill()
            s3.kill()
    median, bare = statistics.median(own), statistics.median(peer)
    apart = statistics.median(verification)
    print(HEADER)
    print(
        f"| load of {asked.rows:,} facts by COPY through the gate (verification {apart:.2f} s apart) | {median:.2f} s "
        f"| COPY, bare | {bare:.2f} s | {bare / median:.2f} x | 0.77 x | {totals.rows:,} | | |"
    )


def load(place: RedshiftPlace, file: Path, totals: FactTotals) -> tuple[float, float]:
    """(seconds of the load without its verification, seconds of that): looking at the file, and the totals again."""
    store = place.store()
    place.scratch.mkdir(parents=True, exist_ok=True)
    # The store takes a file over.
    store.put_file(Path(copy2(file, place.scratch)), KEY)
    warehouse = open_redshift(place.address, store)
    row = ledger_row(FIRST, totals)
    began = time.perf_counter()
    warehouse.load_day(row, [KEY])
    loaded = time.perf_counter()
    # Once more, from files that are at hand as they were then.
    checked_files(store, [KEY], HOURLY_FACTS, "bench")
    found = warehouse.totals([FIRST])[FIRST]
    verification = time.perf_counter() - loaded
    check(found, totals)
    return loaded - began - verification, verification


def copy_bare(place: RedshiftPlace, file: Path, totals: FactTotals) -> float:
    """The seconds of COPY and COMMIT by the driver, as one would write them by hand."""
    store = place.store()
    place.scratch.mkdir(parents=True, exist_ok=True)
    store.put_file(Path(copy2(file, place.scratch)), KEY)
    staged = StagedFile(KEY, file.stat().st_size)
    with copy_manifest(store, "copies/", [staged]) as manifest:
        began = time.perf_counter()
        with redshift_connector.connect(
            host=place.address.host,
            port=place.address.port,
            database=place.address.database,
            user=place.address.user,
            password=place.address.password.get_secret_value(),
            ssl=False,
        ) as connection:
            cursor = connection.cursor()
            cursor.execute(f"SET search_path TO {place.address.schema_name}")
            cursor.execute(f"COPY {TABLE} FROM '{manifest}' IAM_ROLE '{ROLE}' FORMAT AS PARQUET MANIFEST")
            connection.commit()
        seconds = time.perf_counter() - began
    check(open_redshift(place.address, store).totals([FIRST])[FIRST], totals)
    return seconds


def check(found: DayTotals, totals: FactTotals) -> None:
    """RuntimeError where the table does not hold the file's rows."""
    if (found.rows, found.clicks, found.spend_micros) != (totals.rows, totals.clicks, totals.spend_micros):
        raise RuntimeError(f"{found} was loaded, not {totals}")


if __name__ == "__main__":
    main()
