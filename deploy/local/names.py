"""Names under `localhost` are this machine, as RFC 6761 has it: browsers know that, the C library of many machines does not."""

import socket
from typing import Any

_ask = socket.getaddrinfo


def known() -> None:
    """Lets this process reach what containers and browsers call `portal.localhost`."""
    socket.getaddrinfo = _getaddrinfo


def _getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    return _ask("127.0.0.1" if name and name.endswith(".localhost") else host, *args, **options)
