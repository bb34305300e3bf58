"""Is a port free, and does somebody answer at one?"""

import socket


def taken(host: str, port: int) -> bool:
    """Does another program hold the port? Asked the way our servers will open it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError:
        return True
    return False


def answers(host: str, port: int, timeout_s: float = 3.0) -> bool:
    """Does anybody take a call there?"""
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError:
        return False
    return True
