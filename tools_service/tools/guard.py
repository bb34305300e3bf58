"""The guard before every connection a model can cause: which URLs and addresses may be dialled.

Server-side request forgery is a model (or a page it has read) making this service talk to what only
this service can reach: the local machine, the private network, a cloud's metadata address.
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from yarl import URL

from tools_service.errors import Forbidden, ToolFailed

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_LONGEST_URL = 2048
# IANA's special-purpose registries, written out: `ipaddress.is_global` differs between versions of
# Python, and some of what it calls global is not for us (cloud hosts' agents, relays).
_SPECIAL_V4 = tuple(
    IPv4Network(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16"),
        *("172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24"),
        *("192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24", "198.18.0.0/15"),
        *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
        "168.63.129.16/32",  # Azure's host agent
    )
)
# Everything outside is mapped, translated, local or unassigned. Addresses that carry an IPv4 one
# are refused with it, whatever it is.
_UNICAST_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(
    IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")
)
_ISATAP = (0x00005EFE, 0x02005EFE)
_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9-]{1,63}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_INNER = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "home.arpa")


def public(address: Address) -> bool:
    """Somewhere on the public internet, and nowhere else."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _SPECIAL_V4)
    isatap = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    return (
        address in _UNICAST_V6
        and not isatap
        and not address.scope_id
        and not any(address in network for network in _SPECIAL_V6)
    )


async def resolve(host: str, port: int) -> Sequence[str]:
    """All addresses of a name, from the system. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


@dataclass(frozen=True, slots=True)
class Guard:
    """Admits a URL with the addresses it may be fetched from, or refuses it."""

    ports: frozenset[int] | None = frozenset({80, 443})
    """None: any."""
    resolve: Resolve = resolve
    inside: tuple[Network, ...] = ()
    """Networks that may be reached although they aren't public. Tests name loopback here."""

    def parse(self, text: str) -> URL:
        """The URL, if nothing about its form is forbidden. Raises Forbidden."""
        if len(text) > _LONGEST_URL or re.search(r"[\s\\\x00-\x20\x7f-\x9f]", text):
            raise Forbidden("refused: not a URL (too long, or with spaces or backslashes)")
        try:
            url = URL(text)
            port = url.port
        except ValueError:
            raise Forbidden("refused: not a URL") from None
        if url.scheme not in ("http", "https") or not url.raw_host:
            raise Forbidden("refused: only http:// and https:// URLs can be fetched")
        if "@" in url.raw_authority:
            raise Forbidden("refused: a URL must not hold a user name or password")
        if self.ports is not None and port not in self.ports:
            raise Forbidden(f"refused: port {port} is not one of those that may be fetched from")
        return url.with_fragment(None)

    async def admit(self, url: URL) -> tuple[Address, ...]:
        """The addresses that may be dialled for a parsed URL: all there are, each checked.

        Raises Forbidden, and ToolFailed when the name has no address. The text says nothing of
        what a name inside resolves to.
        """
        host = (url.raw_host or "").lower().rstrip(".")
        literal = _literal(host)
        if literal is None:
            _check_name(host)
        addresses = (literal,) if literal else await self._lookup(host, url.port or 0)
        for address in addresses:
            if not self.allows(address):
                raise Forbidden(f"refused: {host} is not on the public internet")
        return addresses

    def allows(self, address: Address) -> bool:
        """The last word on one address."""
        return public(address) or any(address in network for network in self.inside)

    async def _lookup(self, host: str, port: int) -> tuple[Address, ...]:
        try:
            found = [ip_address(text) for text in await self.resolve(host, port)]
        except (OSError, UnicodeError):
            found = []
        except ValueError:
            raise Forbidden(f"refused: {host} has an address that cannot be read") from None
        if not found:
            raise ToolFailed(f"{host} has no address")
        return tuple(dict.fromkeys(found))


def _literal(host: str) -> Address | None:
    """The address a host is written as; None for a name. Raises Forbidden for odd spellings."""
    if ":" in host:
        try:
            return IPv6Address(host)
        except ValueError:
            raise Forbidden("refused: not an IPv6 address") from None
    if not _NUMBER.fullmatch(host.rpartition(".")[2]):
        return None
    # It ends in a number, so C libraries read it as an address: 2130706433, 0177.1, 0x7f.0.0.1.
    try:
        return IPv4Address(host)
    except ValueError:
        raise Forbidden("refused: write an IPv4 address as four decimal numbers") from None


def _check_name(host: str) -> None:
    if not _NAME.fullmatch(host):
        raise Forbidden("refused: not the full name of a host on the public internet")
    if any(host.endswith(f".{suffix}") for suffix in _INNER):
        raise Forbidden(f"refused: {host} is not on the public internet")
