"""Free ports, of a kind that stays free.

Below the ephemeral range: a port from within it may be some connection's own when a killed server wants it back.
"""

import random
import socket
from pathlib import Path

HOST = "127.0.0.1"

LOWEST = 15000
_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")

_given: set[int] = set()


def free_port() -> int:
    """A port of this machine that nothing listens on, and that this process has not been given before."""
    ephemeral = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32768
    highest = ephemeral - 1 if ephemeral > LOWEST + 1000 else 60000
    while True:
        port = random.randint(LOWEST, highest)
        if port not in _given and is_free(port):
            _given.add(port)
            return port


def is_free(port: int) -> bool:
    """Whether a server could listen on it now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
