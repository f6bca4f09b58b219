"""Real processes for tests of what happens at once, and of what is killed.

What belongs here: starting functions in processes of their own and taking their results. What does not: what they do.
"""

import multiprocessing
import os
import resource
import signal
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from typing import Any

# A fork of this process would carry its locks and open files along; one of a process that has done nothing but import
# does not, and starts at once.
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["recruitment_platform_tests.resources.warehouse_days", "redshift_connector"])
_SECONDS = 60


def at_once(function: Callable[..., Any], arguments: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Calls the function (of a module's top level) once for each arguments, each in a process, all starting at once.

    Returns the results in the arguments' order; an exception is a result too.
    """
    barrier = _CONTEXT.Barrier(len(arguments))
    results = _CONTEXT.SimpleQueue()
    processes = [
        _CONTEXT.Process(target=_run, args=(dict(os.environ), number, barrier, results, function, given))
        for number, given in enumerate(arguments)
    ]
    for process in processes:
        process.start()
    found = dict(results.get() for _ in processes)
    for process in processes:
        process.join(_SECONDS)
        assert process.exitcode == 0
    results.close()
    return [found[number] for number in range(len(processes))]


def in_background(function: Callable[..., Any], *arguments: Any) -> BaseProcess:
    """The function in a process of its own: kill or join it."""
    process = _CONTEXT.Process(target=_call, args=(dict(os.environ), function, arguments))
    process.start()
    return process


def event() -> Any:
    """Something that one process sets and others wait for."""
    return _CONTEXT.Event()


def limit_file_size(size: int, *, deadly: bool) -> None:
    """From now on a write past that size in bytes fails in this process as on a full disk, or kills it (`deadly`)."""
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL if deadly else signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def allow_any_file_size() -> None:
    """Takes back what `limit_file_size` has set."""
    most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def _call(environment: dict[str, str], function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    os.environ.update(environment)  # as it is now, not when the process was started from which this one was forked
    function(*arguments)


def _run(
    environment: dict[str, str],
    number: int,
    barrier: Any,
    results: Any,
    function: Callable[..., Any],
    given: tuple[Any, ...],
) -> None:
    os.environ.update(environment)
    barrier.wait(_SECONDS)
    try:
        result = function(*given)
    except Exception as error:  # noqa: BLE001 - whatever it is, the test is told
        result = error
    results.put((number, result))
