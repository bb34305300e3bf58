"""What a download may cost, and what it may be."""

import asyncio
import gzip
import tracemalloc
import zlib
from dataclasses import replace

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from tests.tools_service.web_stand_ins import LIMITS, Handler, Wire, downloader, serving
from tools_service.errors import Forbidden, RateLimited, ToolFailed, Transient
from tools_service.tools.download import Limits
from tools_service.tools.page import Document
from tools_service.tools.unpack import Unpacker

LIMIT = 100_000


def answering(
    body: bytes, kind: str | None = "text/plain", status: int = 200, **headers: str
) -> Handler:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if kind is not None:
        named["Content-Type"] = kind

    async def handle(request: web.Request) -> web.Response:
        return web.Response(body=body, status=status, headers=named)

    return handle


async def get(handler: Handler, limits: Limits = LIMITS) -> Document:
    async with asyncio.timeout(20), serving(handler) as url:
        return await downloader(limits=limits).get(f"{url}/start")


async def test_a_page_comes_with_its_type_and_charset() -> None:
    found = await get(answering(b"caf\xe9", "text/html; charset=ISO-8859-1"))
    assert (found.type, found.charset, found.body) == ("text/html", "ISO-8859-1", b"caf\xe9")
    assert found.url.endswith("/start")


async def test_a_redirect_is_followed_and_the_final_url_told() -> None:
    async def handle(request: web.Request) -> web.Response:
        if request.path == "/start":
            return web.Response(status=301, headers={"Location": "next?a=1#part"})
        return web.Response(text=request.path_qs)

    found = await get(handle)
    assert found.body == b"/next?a=1"
    assert found.url.endswith("/next?a=1")


async def test_redirects_end() -> None:
    async def handle(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": request.path + "x"})

    with pytest.raises(ToolFailed, match="redirected more than 3 times"):
        await get(handle)


async def test_a_redirect_to_another_scheme_is_refused() -> None:
    with pytest.raises(Forbidden, match="only http"):
        await get(answering(b"", status=302, Location="file:///etc/passwd"))


async def test_the_host_of_the_url_is_what_the_server_is_told_whatever_was_dialled() -> None:
    told: list[str] = []

    async def handle(request: web.Request) -> web.Response:
        told.append(request.headers["Host"])
        return web.Response(text="ok")

    async with serving(handle) as url:
        port = url.rpartition(":")[2]
        wire = Wire({"www.example": [["127.0.0.1"]]})
        await downloader(wire).get(f"http://www.example:{port}/")
    assert told == [f"www.example:{port}"]
    assert wire.dialled == ["127.0.0.1"]


async def test_no_cookie_of_one_answer_is_sent_with_the_next() -> None:
    sent: list[str | None] = []

    async def handle(request: web.Request) -> web.Response:
        sent.append(request.headers.get("Cookie"))
        if request.path == "/start":
            headers = {"Location": "/end", "Set-Cookie": "a=b"}
            return web.Response(status=302, headers=headers)
        return web.Response(text="ok")

    await get(handle)
    assert sent == [None, None]


async def test_a_page_that_says_it_is_too_large_is_not_read() -> None:
    with pytest.raises(ToolFailed, match="larger than 100000 bytes"):
        await get(answering(b"x" * (LIMIT + 1)))


async def test_a_page_without_a_length_is_cut_off_at_the_limit() -> None:
    gone = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        try:
            while True:
                await response.write(b"x" * 10_000)
        except ConnectionError:
            gone.set()
        return response

    async with asyncio.timeout(20), serving(handle) as url:
        with pytest.raises(ToolFailed, match="larger than 100000 bytes"):
            await downloader().get(url)
        await gone.wait()


async def test_a_page_as_large_as_the_limit_is_read() -> None:
    assert len((await get(answering(b"x" * LIMIT))).body) == LIMIT


async def test_gzip_is_unpacked() -> None:
    packed = gzip.compress(b"hello" * 100)
    assert (await get(answering(packed, Content_Encoding="gzip"))).body == b"hello" * 100


async def test_a_compression_bomb_is_refused() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    assert len(bomb) < LIMIT
    with pytest.raises(ToolFailed, match="larger than 100000 bytes"):
        await get(answering(bomb, Content_Encoding="gzip"))


def test_a_compression_bomb_takes_no_more_memory_than_the_limit() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    unpacker = Unpacker("gzip", LIMIT)
    tracemalloc.start()
    try:
        with pytest.raises(ToolFailed):
            unpacker.feed(bomb)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 10 * LIMIT


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "zstd", "x"])
async def test_an_encoding_nobody_asked_for_is_refused(encoding: str) -> None:
    with pytest.raises(ToolFailed, match="not asked for"):
        await get(answering(zlib.compress(b"x"), Content_Encoding=encoding))


@pytest.mark.parametrize("body", [b"not gzip at all", gzip.compress(b"x" * 1000)[:-9]])
async def test_broken_gzip_is_a_failure_in_words(body: bytes) -> None:
    with pytest.raises(ToolFailed, match=r"gzip|compressed"):
        await get(answering(body, Content_Encoding="gzip"))


@given(st.binary(max_size=3000), st.integers(1, 500), st.integers(1, 4000), st.booleans())
def test_an_unpacker_gives_the_whole_body_or_refuses_it(
    body: bytes, step: int, limit: int, packed: bool
) -> None:
    wire = gzip.compress(body) if packed else body
    unpacker = Unpacker("gzip" if packed else "", limit)
    fits = max(len(body), len(wire)) <= limit
    try:
        for at in range(0, len(wire), step):
            unpacker.feed(wire[at : at + step])
        assert unpacker.body() == body
    except ToolFailed:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize(
    "kind", ["image/png", "application/octet-stream", "application/pdf", "audio/mpeg", "nonsense"]
)
async def test_what_is_no_text_is_not_read(kind: str) -> None:
    with pytest.raises(ToolFailed, match="cannot read content of type"):
        await get(answering(b"x", kind))


async def test_a_page_that_does_not_end_is_given_up() -> None:
    never = asyncio.Event()

    async def handle(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        await response.write(b"x")
        await never.wait()
        return response

    with pytest.raises(ToolFailed, match=r"within 0\.2 s"):
        await get(handle, replace(LIMITS, timeout_s=0.2))


@pytest.mark.parametrize("status", [204, 304, 400, 401, 404, 418, 500, 503])
async def test_every_other_status_is_a_failure_that_names_it(status: int) -> None:
    with pytest.raises(ToolFailed, match=f"HTTP status {status}") as caught:
        await get(answering(b"", status=status))
    assert isinstance(caught.value, Transient) is (status >= 500)


async def test_a_site_that_hangs_up_may_answer_the_next_time() -> None:
    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    with pytest.raises(Transient, match="could not be fetched"):
        await get(hang_up)


@pytest.mark.parametrize("status", [429, 503])
async def test_a_wait_that_a_site_asks_for_is_kept(status: int) -> None:
    with pytest.raises(RateLimited, match="for 7 s") as limited:
        await get(answering(b"", status=status, Retry_After="7"))
    assert limited.value.retry_after_s == 7


async def test_an_answer_that_is_not_http_is_a_failure_in_words() -> None:
    async def talk(reading: asyncio.StreamReader, writing: asyncio.StreamWriter) -> None:
        writing.write(b"220 mail.example ESMTP\r\n")
        writing.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ToolFailed, match="could not be fetched"):
            await downloader().get(f"http://127.0.0.1:{port}/")
