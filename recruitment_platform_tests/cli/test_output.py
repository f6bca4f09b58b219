"""Text forms of what is shown."""

import pytest

from recruitment_platform.cli.output import money


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        ([], []),
        ([0], ["0.00"]),
        ([250_000, 5_000_000], ["0.25", "5.00"]),
        ([1, 1_500_000], ["0.000001", "1.500000"]),
        ([1_234_567_125_000, -125_000], ["1,234,567.125", "-0.125"]),
    ],
)
def test_money_is_exact_and_a_column_of_it_is_aligned(micros: list[int], shown: list[str]) -> None:
    assert money(micros) == shown
