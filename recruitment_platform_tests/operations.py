"""The stores of a run, watched: what it does to them one operation after the other, and a way in between any two.

What belongs here: naming operations, and doing something before or after one of them. What does not: what is done.
"""

import os
import re
import signal
from collections.abc import Callable
from typing import Any

from recruitment_platform.transforms.engines import DuckDBEngine
from recruitment_platform_tests.site import Site

Watcher = Callable[[str, str], None]
"""Called with `before` or `after`, and the operation's name."""

WATCHED = {
    "lake": ("scan", "ids_on_two_days"),
    "relational": ("refresh_dim_jobs", "dim_jobs", "dim_publishers", "replace_events"),
    "objects": ("put_if_absent", "put_file", "delete"),
    "warehouse": ("closed_through", "replace_dimension", "load_day", "replace_adjustments", "totals"),
    "engine": ("run",),
}
"""The operations that change a store, or read what others change."""

_OF_ONE_DAY_OR_RUN = re.compile(r"run=[^/]+/|dt=[0-9-]+/|[^/]*[0-9a-f]{8}[^/]*$|[0-9]{6}\.json$")


def watched_stores(site: Site, watcher: Watcher) -> dict[str, Any]:
    """The site's stores and the DuckDB engine as resources whose operations the watcher is told of."""
    stores = {
        "lake": site.lake,
        "relational": site.relational,
        "objects": site.objects,
        "warehouse": site.warehouse,
        "engine": DuckDBEngine(),
    }
    return {name: _opener(_Watched(name, store, watcher)) for name, store in stores.items()}


def killing(moment: str, operation: str) -> Watcher:
    """Ends this process by SIGKILL at the first such moment of that operation."""

    def watcher(at: str, of: str) -> None:
        if (at, of) == (moment, operation):
            os.kill(os.getpid(), signal.SIGKILL)

    return watcher


class _Watched:
    """A store whose watched operations tell the watcher; everything else is the store's own."""

    def __init__(self, name: str, store: Any, watcher: Watcher) -> None:
        self._name = name
        self._store = store
        self._watcher = watcher

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in WATCHED[self._name]:
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            operation = self._operation(name, arguments)
            self._watcher("before", operation)
            result = found(*arguments, **named)
            self._watcher("after", operation)
            return result

        return call

    def _operation(self, name: str, arguments: tuple[Any, ...]) -> str:
        """`objects.put_file raw_tracking/`: the store, the method, and of a key what all days and runs share."""
        what = f"{self._name}.{name}"
        if name in ("put_if_absent", "put_file", "delete"):
            key = arguments[1] if name == "put_file" else arguments[0]
            return f"{what} {_OF_ONE_DAY_OR_RUN.sub('', key)}" if isinstance(key, str) else what
        return f"{what} {arguments[0]}" if name == "replace_dimension" else what


def _opener(store: _Watched) -> Callable[[], Any]:
    return lambda: store
