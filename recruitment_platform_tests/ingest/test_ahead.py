"""The next item is made while one is used: in order, one at a time, and its error where its turn comes."""

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from recruitment_platform.ingest.ahead import made_ahead


def test_the_next_item_is_made_while_one_is_used_and_no_further_ahead() -> None:
    made = [threading.Event() for _ in range(4)]

    def items() -> Iterator[int]:
        for number, event in enumerate(made):
            event.set()
            yield number

    used = []
    with made_ahead(items()) as ahead:
        for number in ahead:
            assert all(event.wait(60) for event in made[: number + 2])
            assert not any(event.wait(0.05) for event in made[number + 2 :])
            used.append(number)
    assert used == [0, 1, 2, 3]


def test_an_error_in_making_an_item_is_raised_when_all_before_it_were_used() -> None:
    def items() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("the third")

    with made_ahead(items()) as ahead:
        assert [next(ahead), next(ahead)] == [1, 2]
        with pytest.raises(ValueError, match="the third"):
            next(ahead)


def test_leaving_early_leaves_nothing_at_work() -> None:
    def interrupted() -> None:
        with made_ahead(count()) as inner, made_ahead(map(str, inner)) as outer:
            assert next(outer) == "0"
            assert threading.active_count() == before + 2
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert threading.active_count() == before
