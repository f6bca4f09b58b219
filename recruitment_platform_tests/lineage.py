"""The record of column lineage, made from the SQL; `python -m recruitment_platform_tests.lineage` writes it anew.

What belongs here: which statements are recorded: all that the definitions ask for. What does not: how lineage is
derived (`transforms.sql_lineage`).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

from recruitment_platform.definitions import build_definitions
from recruitment_platform.settings import Settings
from recruitment_platform.transforms import lineage, sql_lineage

FILE = Path(lineage.__file__).with_name(lineage.RECORD)


def derived() -> dict[str, lineage.ColumnLineage]:
    """The lineage of each statement that the definitions ask for, derived from its text."""
    found: dict[str, lineage.ColumnLineage] = {}

    def asked(key: str, sql: str, dialect: str, tables: Mapping[str, tuple[str, ...]]) -> lineage.ColumnLineage:
        found[key] = sql_lineage.derived_lineage(sql, dialect, tables)
        return found[key]

    with mock.patch.object(lineage, "recorded", dict), mock.patch.object(lineage, "_derived", asked):
        build_definitions(Settings(home=Path("nowhere")))
    return found


if __name__ == "__main__":
    FILE.write_text(json.dumps(derived(), indent=1, sort_keys=False) + "\n", encoding="utf-8")
