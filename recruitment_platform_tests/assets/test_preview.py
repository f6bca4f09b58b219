"""The busiest rows of a day name jobs, companies and publishers, whatever others have written into these names."""

from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from recruitment_platform.assets.plot import LONGEST
from recruitment_platform.assets.preview import busiest_rows
from recruitment_platform.model.operational import parse_row
from recruitment_platform_tests.site import Site


def facts(job: int, publisher: int = 0) -> pa.Table:
    """One row of the facts of a day."""
    counts = {"hours": 9, "company_id": 0, "clicks": 1200, "conversion": 3}
    row = {"job_id": job, "publisher_id": publisher, "spend_hour": Decimal("1234.567890"), **counts}
    return pa.Table.from_pylist([row])


@pytest.mark.parametrize(
    ("title", "shown"),
    [
        ("Cook", "1 Cook"),
        ("", "1"),
        ("Cook | *chef*, C#", r"1 Cook \| \*chef\*, C\#"),
        ("<img src=x>\n[a](b)", r"1 \<img src=x\> \[a\](b)"),
        ("Kỹ sư " * 20, f"1 {('Kỹ sư ' * 20)[:29]}…"),
    ],
)
def test_names_are_shown_beside_ids_as_plain_text(tmp_path: Path, title: str, shown: str) -> None:
    site = Site(tmp_path)
    site.relational.upsert("master_publisher", [parse_row("master_publisher", {"id": "7", "publisher_name": "Board"})])
    site.employ([{"id": "1", "title": title, "status": "1"}])
    assert busiest_rows(facts(1, 7), site.objects).splitlines()[2:] == [
        f"| 9 | {shown} | 0 | 7 Board | 1,200 | 3 | 1,234.57 |"
    ]


def test_ids_without_a_name_stand_alone(tmp_path: Path) -> None:
    site = Site(tmp_path)
    unnamed = ["| 9 | 5 | 0 | 0 | 1,200 | 3 | 1,234.57 |"]
    assert busiest_rows(facts(5), site.objects).splitlines()[2:] == unnamed
    site.employ()
    assert busiest_rows(facts(5), site.objects).splitlines()[2:] == unnamed


def test_the_longest_names_still_leave_a_table_that_is_shown_unasked(tmp_path: Path) -> None:
    site = Site(tmp_path)
    long = "[" * 80
    site.relational.upsert("master_publisher", [parse_row("master_publisher", {"id": "7", "publisher_name": long})])
    site.employ([{"id": str(n), "title": long, "status": "1"} for n in range(1, 6)])
    shown = busiest_rows(pa.concat_tables([facts(n, 7) for n in range(1, 6)]), site.objects)
    assert len(shown) <= LONGEST
    assert shown.endswith(" |")
    assert len(shown.splitlines()) > 4
