"""How DuckDB is set: for work that goes to disk, and every connection to it."""

import os
import time

import pytest

from recruitment_platform.sql import another_connection, connect_duckdb, shared_duckdb, spilling


@pytest.mark.parametrize(("cores", "megabytes"), [(None, 640), (1, 640), (2, 640), (8, 2560), (64, 20480)])
def test_each_thread_of_a_large_machine_has_room_for_its_rows(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, megabytes: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert spilling("spill", 640) == {"temp_directory": "spill", "memory_limit": f"{megabytes}MB"}


def test_further_connections_are_set_as_the_first_wherever_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        with connect_duckdb() as first, another_connection(first) as second, shared_duckdb() as shared:
            zones = {
                connection.sql("SELECT current_setting('TimeZone')").fetchall()[0][0]
                for connection in (first, second, shared)
            }
    finally:
        monkeypatch.undo()
        time.tzset()
    assert zones == {"UTC"}
