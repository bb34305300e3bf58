"""Which URLs and addresses may be dialled."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tools_service.web_stand_ins import LOOPBACK, Wire
from tools_service.errors import Forbidden, ToolFailed
from tools_service.tools.guard import Guard, public

PRIVATE = [
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.168.0.0/16", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4"),
]
INNER_V6 = [
    *("::/128", "::1/128", "::ffff:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64"),
    *("2001::/32", "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7"),
    *("fe80::/10", "fec0::/10", "ff00::/8", "fd00:ec2::254/128"),
]


def inside(network: str) -> st.SearchStrategy[str]:
    return st.ip_addresses(network=network).map(str)


@given(st.sampled_from(PRIVATE).flatmap(inside))
def test_no_address_of_a_private_range_is_public(text: str) -> None:
    assert not public(ip_address(text))


@given(st.sampled_from(INNER_V6).flatmap(inside))
def test_no_address_of_an_inner_or_translated_ipv6_range_is_public(text: str) -> None:
    assert not public(ip_address(text))


@given(st.ip_addresses(v=4))
def test_an_ipv4_address_is_never_public_when_it_comes_dressed_as_ipv6(
    address: IPv4Address,
) -> None:
    number = int(address)
    dressed = [
        int(IPv6Address("::ffff:0:0")) + number,
        number,
        int(IPv6Address("64:ff9b::")) + number,
        int(IPv6Address("2002::")) + (number << 80),
        int(IPv6Address("2001::")) + number,
        int(IPv6Address("2a00:1450::5efe:0:0")) + number,
    ]
    assert not any(public(IPv6Address(each)) for each in dressed)


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_what_is_public_is_public_for_python_too(address: IPv4Address | IPv6Address) -> None:
    assert not public(address) or (address.is_global and not address.is_multicast)


@pytest.mark.parametrize(
    "text", ["1.1.1.1", "8.8.8.8", "93.184.215.14", "2606:4700::1111", "2a00:1450:4001:80b::200e"]
)
def test_the_public_internet_is_public(text: str) -> None:
    assert public(ip_address(text))


@pytest.mark.parametrize(
    "text",
    [
        *("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16"),
        *("fd00:ec2::254", "fd20:ce::254", "2606:4700::1111%eth0"),
    ],
)
def test_metadata_addresses_are_not_public(text: str) -> None:
    assert not public(ip_address(text))


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "ftp://example.com/", "gopher://example.com/", "data:text/html,x"),
        *("javascript:alert(1)", "//example.com/", "example.com", "http:///path", "http://", ""),
        *("http://user@example.com/", "http://user:pass@example.com/"),
        *("http://example.com:22/", "http://example.com:6379/", "https://example.com:99999/"),
        *(
            "http://example.com\\@127.0.0.1/",
            "http://example.com/\r\nHost: x",
            "http://exa mple.com/",
        ),
        *("http://example.com/\x00", "http://[::1/", "http://example.com/" + "a" * 2048),
    ],
)
def test_a_url_of_a_forbidden_form_is_refused(url: str) -> None:
    with pytest.raises(Forbidden):
        Guard().parse(url)


@given(st.text(max_size=60) | st.from_regex(r"https?://[\x20-\x7e]{0,40}", fullmatch=True))
async def test_no_text_gets_beyond_the_guard_with_an_inner_address(text: str) -> None:
    wire = Wire()
    guard = Guard(ports=None, resolve=wire.resolve)
    try:
        addresses = await guard.admit(guard.parse(text))
    except ToolFailed:
        return
    assert all(public(address) for address in addresses)


@given(st.sampled_from(PRIVATE).flatmap(inside), st.sampled_from(["d", "x", "o", "X"]))
async def test_an_address_written_as_one_number_is_refused(text: str, form: str) -> None:
    number = int(IPv4Address(text))
    written = {"d": f"{number}", "x": f"{number:#x}", "X": f"{number:#X}", "o": f"0{number:o}"}
    guard = Guard()
    with pytest.raises(Forbidden):
        await guard.admit(guard.parse(f"http://{written[form]}/"))


async def test_one_inner_address_among_public_ones_refuses_the_name() -> None:
    wire = Wire({"mixed.example": [["1.1.1.1", "10.0.0.1"]]})
    guard = Guard(resolve=wire.resolve)
    with pytest.raises(Forbidden, match=r"mixed\.example is not on the public internet") as refused:
        await guard.admit(guard.parse("https://mixed.example/"))
    assert "10.0.0.1" not in str(refused.value)


async def test_a_name_that_cannot_be_outside_is_not_even_asked_for() -> None:
    wire = Wire()
    guard = Guard(resolve=wire.resolve)
    for name in ("localhost", "LOCALHOST.", "a.localhost", "printer.local", "db", "x.internal"):
        with pytest.raises(Forbidden):
            await guard.admit(guard.parse(f"http://{name}/"))
    assert wire.asked == []


async def test_a_public_name_is_admitted_with_all_its_addresses() -> None:
    wire = Wire({"www.example": [["1.1.1.1", "2606:4700::1111", "1.1.1.1"]]})
    guard = Guard(resolve=wire.resolve)
    admitted = await guard.admit(guard.parse("https://WWW.example./page#part"))
    assert [str(address) for address in admitted] == ["1.1.1.1", "2606:4700::1111"]


async def test_a_name_without_an_address_is_no_accusation() -> None:
    guard = Guard(resolve=Wire().resolve)
    with pytest.raises(ToolFailed, match="has no address") as failed:
        await guard.admit(guard.parse("https://nowhere.example/"))
    assert not isinstance(failed.value, Forbidden)


async def test_a_network_handed_in_is_the_only_inner_one() -> None:
    guard = Guard(inside=LOOPBACK)
    assert await guard.admit(guard.parse("http://127.0.0.1/")) == (IPv4Address("127.0.0.1"),)
    with pytest.raises(Forbidden):
        await guard.admit(guard.parse("http://10.0.0.1/"))
    assert not isinstance(LOOPBACK[0], IPv6Network)
    assert LOOPBACK[0] == IPv4Network("127.0.0.0/8")
