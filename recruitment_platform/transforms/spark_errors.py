"""What goes wrong with a Spark on other machines, in one line: what happened, where, what to do.

What belongs here: Spark's, Connect's and the executors' errors. What does not: the errors that executors raise on
purpose (`transforms.spark_sources`); they come through here as they are.
"""

import logging
import re
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from recruitment_platform import errors
from recruitment_platform.addresses import SparkAddress
from recruitment_platform.errors import PlatformError, StoreUnavailableError
from recruitment_platform.transforms.engines import first_line

_LISTENER_SECONDS = 10.0
_CONNECT_PORT = 15002
_MASTER_PORT = 7077
# How Python ends the traceback that executors send of the platform's own errors.
_RAISED = re.compile(r"^recruitment_platform\.errors\.(\w+): (.+)$", re.MULTILINE)
_SAID_BY_PYTHON = re.compile(r"^[A-Za-z_][\w.]*: .+$", re.MULTILINE)
_DETAILS_OF_RPC = re.compile(r'^\s*details = "(.+)"$', re.MULTILINE)
_MEMORY_REMEDY = ". RECRUITMENT_SPARK_EXECUTOR_MEMORY sets the executors' memory, RECRUITMENT_SPARK_MEMORY the driver's"
_SAME_VERSION = ". Its Spark must be of the version of this platform's"
_PYTHON_REMEDY = ". PYSPARK_PYTHON names the executors' Python"
_REMEDIES = (
    ("No module named 'recruitment_platform", ". Its Python lacks this package: install it there, of this version"),
    ("PYTHON_VERSION_MISMATCH", _PYTHON_REMEDY),
    ("Cannot run program", _PYTHON_REMEDY),
    ("InvalidClassException", _SAME_VERSION),
    ("masters are unresponsive", _SAME_VERSION),
    ("OutOfMemoryError", _MEMORY_REMEDY),
    ("INVALID_DRIVER_MEMORY", _MEMORY_REMEDY),
    ("INVALID_EXECUTOR_MEMORY", _MEMORY_REMEDY),
    ("No space left on device", ". A disk there or here is full: make room and run again"),
)


def place_of(address: SparkAddress) -> str:
    """The Spark at the address, for people: never what else the address may hold, as a token."""
    if address.remote is not None:
        return "Spark Connect at {}:{}".format(*_listeners(address)[0])
    return f"Spark at {address.master}"


def require_listener(address: SparkAddress) -> None:
    """StoreUnavailableError where nothing listens at the address: Spark would try for minutes."""
    listeners = _listeners(address)
    reasons = []
    for host, port in listeners:
        try:
            socket.create_connection((host, port), timeout=_LISTENER_SECONDS).close()
        except OSError as error:
            reasons.append(error.strerror or str(error))
        else:
            return
    if listeners:
        raise StoreUnavailableError(f"{place_of(address)} cannot be reached: {', '.join(dict.fromkeys(reasons))}")


@contextmanager
def failures_of_remote_spark(address: SparkAddress, what: str) -> Iterator[None]:
    """Turns what settings and machines can cause into the platform's errors; Spark's own stays chained.

    An ArithmeticException of Spark's goes through as it is: only who wrote the query knows what did not fit.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import ArithmeticException, PySparkException

    root = logging.getLogger()
    root.addFilter(_is_not_told_twice)
    try:
        with warnings.catch_warnings():
            # The exception that follows tells it.
            warnings.filterwarnings("ignore", message=r"\[RETRIES_EXCEEDED\]")
            yield
    except ArithmeticException:
        raise
    except (PySparkException, Py4JError, ConnectionError) as error:
        raise _told(address, what, error) from error
    finally:
        root.removeFilter(_is_not_told_twice)


def _told(address: SparkAddress, what: str, error: Exception) -> PlatformError:
    text = str(error)
    raised = _RAISED.search(text)
    if raised is not None:
        kind: type[PlatformError] = getattr(errors, raised[1])
        return kind(f"{what}, on an executor of {place_of(address)}: {raised[2]}")
    remedy = next((remedy for sign, remedy in _REMEDIES if sign in text), "")
    return StoreUnavailableError(f"{what}: {place_of(address)} could not go on: {_reason(error)}{remedy}")


def _reason(error: Exception) -> str:
    """What an executor's Python says last, else what Java says first."""
    from py4j.protocol import Py4JJavaError

    text = str(error.java_exception if isinstance(error, Py4JJavaError) else error)
    traceback = text.partition("Traceback (most recent call last):")[2]
    said = _SAID_BY_PYTHON.findall(traceback)
    answer = _DETAILS_OF_RPC.search(text)
    return first_line(said[-1] if said else answer[1] if answer else text)


def _listeners(address: SparkAddress) -> list[tuple[str, int]]:
    """(host, port) of each that may answer; none where Hadoop's or Kubernetes' own settings tell them."""
    if address.remote is not None:
        server = urlsplit(address.remote)
        return [(server.hostname or "", server.port or _CONNECT_PORT)]
    if not address.master.startswith("spark://"):
        return []
    servers = [urlsplit(f"spark://{name}") for name in address.master.removeprefix("spark://").split(",")]
    return [(server.hostname or "", server.port or _MASTER_PORT) for server in servers]


def _is_not_told_twice(record: logging.LogRecord) -> bool:
    # When Java dies, py4j writes a stack trace to the root logger, beside the exception that tells it.
    return record.msg != "Exception while sending command."
