"""One guarded HTTP GET: every hop admitted anew, dialled at the checked addresses only."""

import asyncio
import re
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from tools_service.errors import Forbidden, RateLimited, TimedOut, ToolFailed, Transient
from tools_service.tools.connection import failure
from tools_service.tools.guard import Address, Guard
from tools_service.tools.page import Document
from tools_service.tools.patience import PASSING, retry_after_s
from tools_service.tools.unpack import Unpacker

_HEADERS = {
    "User-Agent": "Roundhouse/0.1 (fetch tool)",
    "Accept": "text/html, application/xhtml+xml, text/*;q=0.9, application/json;q=0.9, */*;q=0.1",
    "Accept-Encoding": "gzip",
}
_CHUNK = 64 * 1024
_REDIRECTS = (301, 302, 303, 307, 308)
_TYPES = frozenset(
    re.findall(
        r"\S+",
        """text/html text/plain text/markdown text/x-markdown text/csv text/xml application/json
        application/ld+json application/xml application/xhtml+xml application/rss+xml
        application/atom+xml""",
    )
)

Dial = Callable[[aiohttp.AddrInfoType], socket.socket]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one download may cost."""

    size: int
    redirects: int
    timeout_s: float


def open_socket(where: aiohttp.AddrInfoType) -> socket.socket:
    """The socket for a connection to that address."""
    family, kind, protocol, _, _ = where
    return socket.socket(family, kind, protocol)


class Downloader:
    """Fetches documents for a model. Environment proxies, cookies and .netrc play no part."""

    def __init__(self, guard: Guard, limits: Limits, *, dial: Dial = open_socket) -> None:
        self._guard = guard
        self._limits = limits
        self._dial = dial

    async def get(self, text: str) -> Document:
        """The document behind a URL. Raises ToolFailed: Forbidden, RateLimited, or why not."""
        try:
            async with asyncio.timeout(self._limits.timeout_s):
                return await self._follow(self._guard.parse(text))
        except TimeoutError:
            raise TimedOut(f"no complete answer within {self._limits.timeout_s:g} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as exc:
            raise failure(exc)(f"the page could not be fetched ({type(exc).__name__})") from exc

    async def _follow(self, url: URL) -> Document:
        for _ in range(self._limits.redirects + 1):
            found = await self._hop(url)
            if isinstance(found, Document):
                return found
            url = self._guard.parse(str(url.join(URL(found))))
        raise ToolFailed(f"redirected more than {self._limits.redirects} times")

    async def _hop(self, url: URL) -> Document | str:
        """The document, or where it says it is."""
        addresses = await self._guard.admit(url)
        async with (
            self._session(addresses) as http,
            http.get(url, allow_redirects=False) as response,
        ):
            if response.status in _REDIRECTS and "location" in response.headers:
                return response.headers["location"]
            _check(response)
            unpacker = Unpacker(
                response.headers.get("content-encoding", "").strip().lower(), self._limits.size
            )
            if (response.content_length or 0) > self._limits.size:
                raise ToolFailed(f"the page is larger than {self._limits.size} bytes")
            async for chunk in response.content.iter_chunked(_CHUNK):
                unpacker.feed(chunk)
            return Document(str(url), response.content_type, response.charset, unpacker.body())

    def _session(self, addresses: Sequence[Address]) -> aiohttp.ClientSession:
        """A session that can reach these addresses, and no other; it knows no cookie yet."""
        allowed = frozenset(addresses)

        def dial(where: aiohttp.AddrInfoType) -> socket.socket:
            # Everything that is dialled comes through here, written as an address or as a name.
            if ip_address(where[4][0]) not in allowed:
                raise Forbidden("refused: not one of the addresses that were checked")
            return self._dial(where)

        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=_Pinned(addresses),
                use_dns_cache=False,
                force_close=True,
                socket_factory=dial,
            ),
            headers=_HEADERS,
            auto_decompress=False,
            trust_env=False,
            timeout=aiohttp.ClientTimeout(total=self._limits.timeout_s),
        )


class _Pinned(AbstractResolver):
    """Knows one answer: the addresses that were checked. A name is never resolved twice."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=str(address),
                port=port,
                family=socket.AF_INET6 if address.version == 6 else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Holds nothing."""


def _check(response: aiohttp.ClientResponse) -> None:
    """Raises ToolFailed unless it is a document we can read."""
    host = response.url.host
    if response.status in (429, 503) and "retry-after" in response.headers:
        wait_s = retry_after_s(response.headers["retry-after"], time.time())
        raise RateLimited(str(host), wait_s)
    if response.status != 200:
        kind = Transient if response.status in PASSING else ToolFailed
        raise kind(f"{host} answered with HTTP status {response.status}")
    declared = response.headers.get("content-type", "")
    if response.content_type not in _TYPES or not declared:
        raise ToolFailed(f"cannot read content of type {declared[:80] or 'none'!r}")
