"""How DuckDB is set for work that goes to disk."""

import os

import pytest

from recruitment_platform.sql import spilling


@pytest.mark.parametrize(("cores", "megabytes"), [(None, 640), (1, 640), (2, 640), (8, 2560), (64, 20480)])
def test_each_thread_of_a_large_machine_has_room_for_its_rows(
    monkeypatch: pytest.MonkeyPatch, cores: int | None, megabytes: int
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert spilling("spill", 640) == {"temp_directory": "spill", "memory_limit": f"{megabytes}MB"}
