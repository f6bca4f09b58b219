"""What a test makes go wrong at the gate, before or after a statement of its choice.

What belongs here: the rules, and waiting for them. What does not: when they are asked (`session`).
"""

import re
import threading
from dataclasses import dataclass, field
from typing import Literal

from recruitment_platform_tests.redshift_gate.wire import GateError

When = Literal["before", "after"]
Action = Literal["fail", "drop", "hold"]

_SECONDS = 60


class DroppedError(Exception):
    """The connection to the driver is to break here."""


@dataclass
class Fault:
    """At the next `times` statements that match: refuse, break the connection, or wait until the test has acted."""

    pattern: str
    when: When
    action: Action
    times: int
    error: GateError
    reached: threading.Event = field(default_factory=threading.Event)
    released: threading.Event = field(default_factory=threading.Event)


class Faults:
    """The rules of a gate, in the order in which they were made."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._guard = threading.Lock()

    def add(self, fault: Fault) -> int:
        """Returns the number by which the test names it."""
        with self._guard:
            self._faults.append(fault)
            return len(self._faults) - 1

    def wait_until_reached(self, number: int) -> bool:
        return self._faults[number].reached.wait(_SECONDS)

    def release(self, number: int) -> None:
        self._faults[number].released.set()

    def clear(self) -> None:
        """Ends all rules; statements that are held go on."""
        with self._guard:
            for fault in self._faults:
                fault.times = 0
                fault.released.set()

    def act(self, code: str, when: When) -> None:
        """GateError or DroppedError where a rule says so; returns late where one holds the statement."""
        fault = self._take(code, when)
        if fault is None:
            return
        fault.reached.set()
        match fault.action:
            case "fail":
                raise fault.error
            case "drop":
                raise DroppedError
            case "hold":
                fault.released.wait(_SECONDS)

    def _take(self, code: str, when: When) -> Fault | None:
        with self._guard:
            for fault in self._faults:
                if fault.times and fault.when == when and re.match(fault.pattern, code, re.I | re.S):
                    fault.times -= 1
                    return fault
        return None
