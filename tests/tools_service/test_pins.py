"""What is accepted of an upstream, whatever it lists, and when it is tried again."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tools_service.tools.upstream.link import LONGEST_PAUSE_S, pause_s
from tools_service.tools.upstream.offers import Hints, Offer
from tools_service.tools.upstream.pins import Pins, PinsFile, judge

OFFERS = st.builds(
    Offer,
    name=st.sampled_from("abc"),
    description=st.sampled_from(["one", "two"]),
    input_schema=st.sampled_from([{}, {"type": "object"}]),
    output_schema=st.sampled_from([None, {"type": "object"}]),
    hints=st.sampled_from([Hints(), Hints(read_only=True)]),
)
LISTS = st.lists(OFFERS, unique_by=lambda offer: offer.name)


@given(st.lists(LISTS), st.booleans())
def test_what_was_accepted_first_stays_so_whatever_is_listed_later(
    listings: list[list[Offer]], everything: bool
) -> None:
    pins = Pins()
    first: dict[str, Offer] = {}
    opening = next(filter(None, listings), [])
    for offers in listings:
        pins = judge(pins, offers, everything)
        for offer in offers:
            if not everything or offer in opening:
                first.setdefault(offer.name, offer)
        assert pins.accepted == first
        assert list(pins.changed.values()) == [
            offer for offer in offers if first.get(offer.name) != offer
        ]


@given(OFFERS, OFFERS)
def test_two_offers_have_one_fingerprint_only_if_they_are_the_same(one: Offer, two: Offer) -> None:
    assert (one.fingerprint == two.fingerprint) == (one == two)


def test_a_change_is_kept_until_accepted_or_undone(tmp_path: Path) -> None:
    file = PinsFile(tmp_path / "below" / "pins.json")
    old, new = (Offer("a", text, {"type": "object"}) for text in ("old", "new"))
    assert file.note("fx", [old], False) == (Pins(), Pins({"a": old}))
    assert file.note("fx", [new], False)[1] == Pins({"a": old}, {"a": new})
    assert file.note("fx", [old], False)[1] == Pins({"a": old})
    file.note("fx", [new], False)
    assert file.accept("fx") == [(old, new)]
    assert file.accept("fx") == []
    assert file.read("fx") == Pins({"a": new})
    assert file.read("other") == Pins()


@given(st.integers(0, 10_000), st.floats(0, 1, exclude_max=True))
def test_pauses_grow_up_to_a_bound_and_never_vanish(failures: int, chance: float) -> None:
    pause = pause_s(failures, chance)
    assert 0.1 < pause <= LONGEST_PAUSE_S
    assert pause <= pause_s(failures + 1, chance)
