"""Whether a context that was given up may be fetched: asked of the keeper, and then tried."""

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from vllm.v1.core.kv_cache_utils import KVCacheBlock

from engine.outlook import Outlook, Stand
from engine.vllm.plugin.keeper import Keeper
from engine.vllm.plugin.scheduler import AgentScheduler
from engine.vllm.plugin.tenure import Chain, Session, rank
from tests.engine.scheduler_rig import Rig, tokens

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
slow = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)

STANDS: tuple[Stand | None, ...] = (None, "away", "coming", "aside", "done")
turns = st.lists(
    st.tuples(
        st.integers(0, 5),  # whose
        st.integers(8, 120),  # how much is new
        st.integers(1, 12),  # how much is written
        st.sampled_from(STANDS),  # what is told of it then
        st.integers(1, 900),  # how long it is expected to stay away, in seconds
    ),
    min_size=6,
    max_size=20,
)


Load = list[tuple[int, int, int, Stand | None, int]]


@dataclass(frozen=True)
class Kept:
    """A context, as it lay in the cache before anybody was let in."""

    owner: Session | None
    is_newest: bool
    rank: tuple[int, float]
    blocks: list[KVCacheBlock]
    contents: list[object]

    def lost(self) -> int:
        """How many of its blocks hold something else by now."""
        pairs = zip(self.blocks, self.contents, strict=True)
        return sum(block.block_hash is not content for block, content in pairs)


def ranked(keeper: Keeper, chain: Chain[KVCacheBlock]) -> tuple[int, float]:
    start, more = keeper.recompute.per_token()
    return rank(chain, keeper.clock(), start + more * chain.tokens)


def kept(keeper: Keeper) -> list[Kept]:
    """All contexts, without blocks that were lost already."""
    found = []
    for chain in (chain for chains in keeper._chains.values() for chain in chains):
        pairs = zip(chain.blocks, chain.hashes, strict=True)
        held = [(block, content) for block, content in pairs if block.block_hash is content]
        blocks, contents = [block for block, _ in held], [content for _, content in held]
        found.append(Kept(chain.session, chain.is_newest, ranked(keeper, chain), blocks, contents))
    return found


@dataclass
class House:
    """A pool after some turns, and one of the sessions that have lost something."""

    rig: Rig
    session: Session
    context: list[int]
    own: tuple[int, float]
    """What its newest context is worth."""

    @property
    def keeper(self) -> Keeper:
        keeper = self.rig.scheduler.keeper
        assert isinstance(keeper, Keeper)
        return keeper


def after(load: Load, who: int, *, deep: bool) -> House:
    """Play the turns; `deep`, tokens deep in a context are dearer than its first."""
    rig = Rig(AgentScheduler, 115)
    if deep:
        rig.scheduler.keeper.recompute.note(300, 50.0, 1.0)
        rig.scheduler.keeper.recompute.note(300, 400.0, 5.0)
    contexts: dict[str, list[int]] = {}
    for index, (whose, new, writes, stand, back_s) in enumerate(load):
        name = f"s{whose}"
        prompt = (contexts.get(name, tokens(20, "system")) + tokens(new, index))[-400:]
        rig.turn(name, prompt, writes=writes, name=f"{index}")
        contexts[name] = [*prompt, *[7] * writes]
        if stand is not None:
            rig.expect(Outlook(name, stand, expected_s=(float(back_s), 2.0 * back_s)))
    keeper = rig.scheduler.keeper
    lost = [session for session in keeper._sessions.values() if session.evicted]
    assume(lost)
    session = lost[who % len(lost)]
    rig.now += 60.0  # any order of victims is too old by now
    rig.step_s = 1e-6  # and what is asked now stays true
    context = contexts[session.name]
    newest = Chain[KVCacheBlock](session, rig.now, len(context))
    return House(rig, session, context, ranked(keeper, newest))


@slow
@given(turns, st.integers(0, 5), st.booleans())
def test_what_has_room_takes_blocks_only_of_those_worth_less(
    load: Load, who: int, deep: bool
) -> None:
    """What was left of the session's own context once counted as room for the rest of it."""
    house = after(load, who, deep=deep)
    assume(house.keeper.has_room(house.session.name, len(house.context)))
    others = [
        one
        for one in kept(house.keeper)
        if one.owner is not house.session and one.rank >= house.own
    ]

    house.rig.turn(house.session.name, house.context, name="fetch")

    assert [one.lost() for one in others] == [0] * len(others)
    house.rig.check_blocks()


@slow
@given(turns, st.integers(0, 5), st.booleans())
def test_where_there_is_no_room_somebody_worth_as_much_loses_by_it(
    load: Load, who: int, deep: bool
) -> None:
    house = after(load, who, deep=deep)
    assume(not house.keeper.has_room(house.session.name, len(house.context)))
    needed = house.session.evicted + 1  # and the one that its next token goes to
    assume(needed <= house.rig.pool.get_num_free_blocks())
    dear = [
        one
        for one in kept(house.keeper)
        if one.rank >= house.own or (one.owner is house.session and one.is_newest)
    ]

    house.rig.pool.get_new_blocks(needed)  # as vLLM does, whoever has no room

    assert sum(one.lost() for one in dear) > 0
