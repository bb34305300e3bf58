"""Is a port free?"""

import socket


def taken(host: str, port: int) -> bool:
    """Does another program hold the port? Asked the way our servers will open it."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError:
        return True
    return False
