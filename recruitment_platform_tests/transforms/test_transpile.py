"""What DuckDB runs is what Spark runs."""

import pytest

from recruitment_platform.transforms.engines import TRANSFORMS, Transform
from recruitment_platform.transforms.transpile import for_duckdb


@pytest.mark.parametrize("transform", TRANSFORMS.values(), ids=TRANSFORMS)
def test_the_text_for_duckdb_comes_from_spark_s(transform: Transform) -> None:
    """Where it fails: `python -m recruitment_platform.transforms.transpile`."""
    assert transform.duckdb_sql == for_duckdb(transform.sql)
