"""Attempts to make `fetch` reach inside: all are refused, and nothing is dialled."""

from ipaddress import ip_network

import pytest
from aiohttp import web

from tests.tools_service.web_stand_ins import LIMITS, NOBODY, Wire, downloader, serving
from tools_service.errors import Forbidden, ToolFailed
from tools_service.tools.download import Downloader
from tools_service.tools.fetch import Fetch
from tools_service.tools.guard import Guard
from tools_service.tools.reader import Reader

WRITTEN = [
    # private, loopback, metadata
    *("http://127.0.0.1/", "http://127.1.2.3/", "http://10.0.0.1/", "http://172.31.255.255/"),
    *("http://192.168.1.1/", "http://100.64.0.1/", "http://0.0.0.0/", "http://255.255.255.255/"),
    *("http://169.254.169.254/latest/meta-data/", "http://169.254.170.2/v2/credentials"),
    *("http://100.100.100.200/", "http://192.0.0.192/", "http://168.63.129.16/"),
    # short, decimal, octal, hexadecimal
    *(
        "http://127.1/",
        "http://127.0.1/",
        "http://0/",
        "http://2130706433/",
        "http://017700000001/",
    ),
    *("http://0177.0.0.1/", "http://0177.0.0.01/", "http://0x7f.0.0.1/", "http://0x7f000001/"),
    *("http://0x7F.1/", "http://127.0.0.0x1/", "http://127.0.0.01/", "http://2852039166/"),
    *("http://0xA9FEA9FE/", "http://0251.0376.0251.0376/", "http://425.510.425.510/"),
    *("http://256.256.256.256/", "http://127.0.0.1./", "http://127.0.0.1.1/", "http://0x/"),
    # IPv6
    *("http://[::1]/", "http://[::]/", "http://[0:0:0:0:0:0:0:1]/", "http://[::ffff:127.0.0.1]/"),
    *("http://[::ffff:7f00:1]/", "http://[::127.0.0.1]/", "http://[::ffff:0:127.0.0.1]/"),
    *("http://[64:ff9b::127.0.0.1]/", "http://[64:ff9b::a9fe:a9fe]/", "http://[64:ff9b:1::1]/"),
    *("http://[2002:7f00:1::]/", "http://[2001:0:0:0:0:0:80ff:fffe]/", "http://[fd00:ec2::254]/"),
    *("http://[fe80::1]/", "http://[fe80::1%25eth0]/", "http://[fec0::1]/", "http://[ff02::1]/"),
    *("http://[2001:db8::1]/", "http://[2a00:1450::5efe:127.0.0.1]/", "http://[100::1]/"),
    # digits and dots that are not ASCII, escapes
    *(
        "http://①②⑦.⓪.⓪.①/",
        "http://127。0。0。1/",
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://ⓛocalhost/",
    ),
    *("http://127%2e0%2e0%2e1/", "http://%31%32%37.0.0.1/", "http://loc%61lhost/"),
    # names that mean inside
    *("http://localhost/", "http://localhost./", "http://LOCALHOST:80/", "http://foo.localhost/"),
    *(
        "http://metadata.google.internal/",
        "http://metadata/",
        "http://kubernetes.default.svc.local/",
    ),
    # who is the host?
    *("http://public.example@127.0.0.1/", "http://127.0.0.1:80@public.example/"),
    *("http://public.example\\@127.0.0.1/", "http://127.0.0.1\\.public.example/"),
    *("http://public.example#@127.0.0.1:81/", "http://127.0.0.1#.public.example/"),
    *("http://127.0.0.1?.public.example/", "http://127.0.0.1\t.public.example/"),
    *("http:\\\\127.0.0.1/", "http:127.0.0.1/", "//127.0.0.1/", " http://127.0.0.1/"),
    # other schemes and ports
    *("file:///etc/passwd", "gopher://127.0.0.1:6379/_INFO", "dict://127.0.0.1:11211/stat"),
    *("ftp://127.0.0.1/", "ldap://127.0.0.1/", "jar:http://127.0.0.1!/", "http+unix://%2Ftmp%2Fs/"),
    *("http://public.example:22/", "http://public.example:6379/", "https://public.example:8443/"),
]
RESOLVED = [
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "0.0.0.0", "::1"),
    *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1", "fd00:ec2::254", "fe80::1"),
    *("fe80::1%eth0", "2002:7f00:1::", "2001:0:53aa:64c:0:0:80ff:fffe", "ff02::1", "100.64.0.1"),
]


def attempt(wire: Wire) -> Fetch:
    """The tool as it is served, with this resolver and this connector."""
    guard = Guard(resolve=wire.resolve)
    return Fetch(Reader(Downloader(guard, LIMITS, dial=wire.dial).get, longest=1000))


def world() -> Wire:
    """Nothing in it is inside; still no test may dial it."""
    return Wire({"public.example": [["1.1.1.1"]]})


@pytest.mark.parametrize("url", WRITTEN)
async def test_a_url_that_means_inside_is_refused_and_nothing_is_dialled(url: str) -> None:
    wire = world()
    if "public.example#" in url:
        # A fragment hides nothing from the parser: this one is public.example's.
        with pytest.raises(ToolFailed):
            await attempt(wire).run({"url": url}, NOBODY)
        assert set(wire.dialled) == {"1.1.1.1"}
        return
    with pytest.raises(Forbidden):
        await attempt(wire).run({"url": url}, NOBODY)
    assert wire.dialled == []


@pytest.mark.parametrize("address", RESOLVED)
@pytest.mark.parametrize("others", [(), ("1.1.1.1",)])
async def test_a_name_that_resolves_inside_is_refused_and_nothing_is_dialled(
    address: str, others: tuple[str, ...]
) -> None:
    wire = Wire({"rebound.example": [[*others, address]]})
    with pytest.raises(Forbidden):
        await attempt(wire).run({"url": "https://rebound.example/"}, NOBODY)
    assert wire.dialled == []


async def test_a_name_is_resolved_once_so_its_second_answer_helps_nobody() -> None:
    wire = Wire({"rebound.example": [["1.1.1.1"], ["127.0.0.1"]]})
    with pytest.raises(ToolFailed):
        await attempt(wire).run({"url": "http://rebound.example/"}, NOBODY)
    assert wire.asked == ["rebound.example"]
    assert set(wire.dialled) == {"1.1.1.1"}


@pytest.mark.parametrize("target", [url for url in WRITTEN if "public.example" not in url])
async def test_a_redirect_to_inside_is_refused_before_anything_else_is_dialled(target: str) -> None:
    """The first hop is a loopback server that the guard lets through under a public name only."""

    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": clean(target)})

    async with serving(redirect, "127.9.9.9") as url:
        port = url.rpartition(":")[2]
        wire = Wire({"start.example": [["127.9.9.9"]]})
        guard = Guard(ports=None, resolve=wire.resolve, inside=(ip_network("127.9.9.9/32"),))
        get = Downloader(guard, LIMITS, dial=wire.dial).get
        # 127.9.9.9 is loopback as well; the guard of this test lets that one address through.
        with pytest.raises(ToolFailed):
            await get(f"http://start.example:{port}/")
        assert set(wire.dialled) == {"127.9.9.9"}


async def test_a_rebinding_redirect_to_the_same_name_is_checked_anew() -> None:
    async def redirect(request: web.Request) -> web.Response:
        return web.Response(status=307, headers={"Location": "/again"})

    async with serving(redirect, "127.9.9.9") as url:
        port = url.rpartition(":")[2]
        wire = Wire({"start.example": [["127.9.9.9"], ["127.0.0.1"]]})
        guard = Guard(ports=None, resolve=wire.resolve, inside=(ip_network("127.9.9.9/32"),))
        with pytest.raises(Forbidden):
            await Downloader(guard, LIMITS, dial=wire.dial).get(f"http://start.example:{port}/")
        assert set(wire.dialled) == {"127.9.9.9"}


async def test_the_environments_proxies_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[str] = []

    async def proxy(request: web.Request) -> web.Response:
        met.append(request.path)
        return web.Response(text="from the proxy")

    async def page(request: web.Request) -> web.Response:
        return web.Response(text="from the page")

    async with serving(proxy) as proxy_url, serving(page) as url:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy_url)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert (await downloader().get(url)).body == b"from the page"
    assert met == []


def clean(target: str) -> str:
    """What a header can carry."""
    return target.replace("\t", "").encode("ascii", errors="ignore").decode()
