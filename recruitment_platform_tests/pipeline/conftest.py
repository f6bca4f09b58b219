"""The stores of one small site."""

from pathlib import Path

import pytest

from recruitment_platform_tests.site import Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)
