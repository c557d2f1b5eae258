"""By which names a server may be called.

A page from anywhere can have its own name point at this machine (DNS rebinding); for the browser it is then of the
same origin as a server that only this machine reaches. Such a server therefore answers to this machine's names.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach an IP address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def host_check(listening_on: str, more: Sequence[str] = ()) -> Callable[[str], bool]:
    """Whether a ``Host`` header names this server. listening_on: an IP address; more: names that are right, too.

    A name without a dot cannot be anybody's on the internet, and an address needs no name server.
    """
    if not is_loopback(listening_on):
        return lambda host: True
    known = {socket.gethostname().lower(), *(name.lower() for name in more)}

    def known_host(host: str) -> bool:
        name = name_of(host)
        return "." not in name or name in known or name.endswith(".localhost") or _is_address(name)

    return known_host


def name_of(host: str) -> str:
    """``Example.org:8000`` -> ``example.org``; of an IPv6 address what stands in its brackets."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
