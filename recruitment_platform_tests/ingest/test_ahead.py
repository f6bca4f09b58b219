"""The next item is made while one is used: in order, one at a time, and its error where its turn comes."""

import threading
import time
from collections.abc import Iterator
from itertools import count

import pytest

from recruitment_platform.ingest.ahead import made_ahead, made_by_threads


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


def test_threads_make_as_many_items_as_they_are_and_give_them_in_order() -> None:
    making = threading.Barrier(3)
    taken = []

    def items() -> Iterator[int]:
        for number in range(9):
            taken.append(number)
            yield number

    def make(number: int) -> str:
        making.wait(60)
        time.sleep(0.02 * (number % 3 == 0))
        return str(number)

    used = []
    with made_by_threads(make, items(), threads=3) as made:
        for number, item in enumerate(made):
            assert len(taken) <= number + 5
            used.append(item)
    assert used == list("012345678")


def test_a_thread_goes_on_while_another_takes_long_for_what_comes_first() -> None:
    others = threading.Semaphore(0)

    def make(number: int) -> int:
        if number:
            others.release()
            return number
        assert others.acquire(timeout=60), "nothing else is made meanwhile"
        assert others.acquire(timeout=60), "only one more is made meanwhile"
        return number

    with made_by_threads(make, iter(range(5)), threads=2) as made:
        assert list(made) == list(range(5))


def test_an_error_of_a_thread_is_raised_in_its_turn_and_ends_the_others() -> None:
    def make(number: int) -> float:
        return 1 / (2 - number)

    before = threading.active_count()
    with made_by_threads(make, count(), threads=4) as made:
        assert [next(made), next(made)] == [0.5, 1.0]
        with pytest.raises(ZeroDivisionError):
            next(made)
    assert threading.active_count() == before


def test_what_threads_made_and_nobody_used_is_told() -> None:
    unused: list[str] = []
    with made_by_threads(str, count(), threads=3, unused=unused.append) as made:
        assert next(made) == "0"
        time.sleep(0.5)
    assert unused == ["1", "2", "3", "4"]
