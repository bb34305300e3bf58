"""Keeps the account of whose blocks the KV cache holds, and names those to give up next."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from itertools import chain as joined
from operator import is_, itemgetter
from time import monotonic

from vllm.v1.core.block_pool import BlockPool
from vllm.v1.core.kv_cache_utils import KVCacheBlock

from engine.outlook import Outlook
from engine.vllm.plugin.free_queue import FreeQueue
from engine.vllm.plugin.recompute import Recompute
from engine.vllm.plugin.tenure import Chain, Session, rank

MOST_SESSIONS = 8192
_MOST_CHAINS = 4  # of one session: parallel conversations under one name, and edited histories
_MOST_DISOWNED = 1024
# How long an order is good: values change over seconds, and ranking a session takes microseconds.
_RANK_S = 0.25
_RANK_PER_CHAIN_S = 0.005
_HELD_S = 0.1  # how long a count of all blocks is good: it takes 5 us a thousand

Blocks = Chain[KVCacheBlock]
_STANDS = ("done", "nobody", "aside", "away", "queued")


class Keeper:
    """Retention for one block pool. Not thread-safe: EngineCore's own thread calls it.

    Soft only: it holds no references, so no allocation can fail for it, and a wrong guess costs
    one computation. With no session named it does nothing at all.
    """

    def __init__(
        self, pool: BlockPool, *, clock: Callable[[], float] = monotonic, enabled: bool = True
    ) -> None:
        self.clock = clock
        self.recompute = Recompute()
        self.evicted: Counter[str] = Counter()
        """Blocks given up, by how their session stood."""
        self.returned = 0
        """Blocks that were given up before their session came back for them."""
        self._held, self._held_until_s = 0, float("-inf")
        self._enabled = enabled and pool.enable_caching
        self._pool = pool
        self._claims = [0] * pool.num_gpu_blocks
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._chains: dict[Session | None, list[Blocks]] = {None: []}
        self._order: list[tuple[tuple[int, float], Blocks]] = []
        self._ordered_s = self._good_until_s = float("-inf")
        self._changed = False
        """Whether the order lacks something."""
        self._queue = FreeQueue(
            pool.free_block_queue.get_all_free_blocks(), self._claims, self._victims
        )
        pool.free_block_queue = self._queue

    # What the scheduler tells.

    def arrive(self, name: str | None) -> None:
        """A turn of a session has come; None for a request of nobody, who claims nothing."""
        if name is None or not self._enabled:
            return
        session = self._sessions.get(name)
        if session is None:
            session = self._sessions[name] = Session(name, self.clock())
            self._chains[session] = []
            self._queue.is_plain = False
            self._bound()
        self._sessions.move_to_end(name)
        self.returned += session.evicted
        session.arrive(self.clock())
        self._changed = True

    def hold(self, name: str | None, groups: Sequence[Sequence[KVCacheBlock]], tokens: int) -> None:
        """A request gives its blocks back, at its end or because it is preempted."""
        session = self._sessions.get(name) if name is not None else None
        if session is None or not (blocks := _in_order(groups)):
            return
        chains = self._chains[session]
        newest = chains[-1] if chains else None
        for old in chains:
            old.is_newest = False
        known: list[object] = []
        is_parallel = False
        for old in reversed(chains):
            if _extends(old.blocks, blocks, blocks[-1].block_hash):
                chains.remove(old)  # cut off before it got as far as the turn before
                chains.append(old)
                old.is_newest = True
                return
            if _extends(blocks, old.blocks, old.hashes[-1]):
                chains.remove(old)
                known = old.hashes
                # Of a context that was cut, what is left may be the beginning of any other.
                is_parallel = old.is_parallel or (old is not newest and not old.is_cut)
                old.blocks, old.hashes = [], []  # the order may still name it
                break
        for block in blocks[len(known) :]:
            self._claims[block.block_id] += 1
            known.append(block.block_hash)
        chains.append(Chain(session, self.clock(), tokens, blocks, known, is_parallel=is_parallel))
        self._changed = True
        if len(chains) > _MOST_CHAINS:
            self._disown(chains.pop(0))

    def leave(self, name: str | None) -> None:
        """A turn of a session has ended."""
        session = self._sessions.get(name) if name is not None else None
        if session is not None:
            session.leave(self.clock())
            self._changed = True

    def expect(self, outlooks: Sequence[Outlook]) -> None:
        """The gateway tells what it knows; of sessions that are not known here it is moot."""
        now = self.clock()
        for outlook in outlooks:
            session = self._sessions.get(outlook.session)
            if session is not None:
                session.expect(outlook, now)
                self._changed = True

    def has_room(self, name: str, tokens: int) -> bool:
        """Whether what a session has lost fits again, and nobody goes for it who is worth more."""
        session = self._sessions.get(name)
        if session is None or session.turns or not session.evicted:
            return False
        now = self.clock()
        start, more = self.recompute.per_token()
        own = rank(Chain(session, now, tokens), now, start + more * tokens)
        kept = {
            block.block_id
            for chain in joined.from_iterable(self._chains.values())
            if (chain.session is session and chain.is_newest)
            or rank(chain, now, start + more * chain.tokens) >= own
            for block, content in zip(chain.blocks, chain.hashes, strict=True)
            if block.block_hash is content and not block.ref_cnt
        }
        free: int = self._pool.get_num_free_blocks()
        return free - len(kept) > session.evicted

    def clear(self) -> None:
        """The cache was emptied."""
        for chains in self._chains.values():
            chains.clear()
        self._claims[:] = [0] * len(self._claims)
        self._order.clear()

    def counts(self) -> dict[str, int]:
        """Blocks given up so far, blocks held, and sessions of which account is kept."""
        now = self.clock()
        if now >= self._held_until_s:
            self._held = len(self._claims) - self._claims.count(0)
            self._held_until_s = now + _HELD_S
        return {
            "sessions": len(self._sessions),
            "held": self._held,
            "returned": self.returned,
            **{f"evicted_{stand}": self.evicted[stand] for stand in _STANDS},
        }

    def stats(self) -> dict[str, int]:
        """The same, counted anew, and how many contexts are accounted for."""
        self._held_until_s = float("-inf")
        return {**self.counts(), "chains": sum(map(len, self._chains.values()))}

    # Who goes.

    def _victims(self, n: int) -> list[KVCacheBlock]:
        """Take up to n blocks out of the free queue, the least valuable first."""
        now = self.clock()
        taken: list[KVCacheBlock] = []
        if not self._ordered_s <= now < self._good_until_s:
            self._sort(now)
        self._take_ranked(n, taken)
        if len(taken) < n and self._changed:
            self._sort(now)
            self._take_ranked(n, taken)
        return taken

    def _take_ranked(self, n: int, taken: list[KVCacheBlock]) -> None:
        while self._order and len(taken) < n:
            (tier, _), chain = self._order[-1]
            if not _has_come(chain, tier):
                self._take(chain, tier, n - len(taken), taken)
                if len(taken) == n:
                    return
            self._order.pop()

    def _sort(self, now: float) -> None:
        start, more = self.recompute.per_token()
        self._order = [
            (rank(chain, now, start + more * chain.tokens), chain)
            for chain in joined.from_iterable(self._chains.values())
        ]
        self._order.sort(key=itemgetter(0), reverse=True)
        self._ordered_s = now
        self._good_until_s = now + max(_RANK_S, _RANK_PER_CHAIN_S * len(self._order))
        self._changed = False

    def _take(self, chain: Blocks, tier: int, n: int, taken: list[KVCacheBlock]) -> None:
        """Take up to n blocks of a context from its end, as far as nobody else claims them."""
        blocks, hashes, claims = chain.blocks, chain.hashes, self._claims
        mine: list[KVCacheBlock] = []
        left = len(blocks)
        while left and len(mine) < n:
            block = blocks[left - 1]
            if block.block_hash is hashes[left - 1]:
                if block.ref_cnt:
                    break
                if claims[block.block_id] > 1:
                    claims[block.block_id] -= 1
                else:
                    claims[block.block_id] = 0
                    mine.append(block)
            left -= 1
        chain.is_cut |= left < len(blocks)
        del blocks[left:], hashes[left:]
        self._queue.remove_n(mine)
        taken += mine
        self.evicted[_STANDS[tier]] += len(mine)
        if chain.session is not None and chain.is_newest:
            chain.session.evicted += len(mine)
        if not blocks:
            self._drop(chain)

    # The books.

    def _drop(self, chain: Blocks) -> None:
        """Nothing of a context is left."""
        chains = self._chains[chain.session]
        if chain in chains:
            chains.remove(chain)

    def _disown(self, chain: Blocks) -> None:
        """A context that no session has any more; of too many the oldest is nobody's."""
        chain.session = None
        nobodys = self._chains[None]
        nobodys.append(chain)
        if len(nobodys) > _MOST_DISOWNED:
            oldest = nobodys.pop(0)
            for block, content in zip(oldest.blocks, oldest.hashes, strict=True):
                if block.block_hash is content:
                    self._claims[block.block_id] -= 1

    def _bound(self) -> None:
        """Forget who has not come for longest."""
        while len(self._sessions) > MOST_SESSIONS:
            name = next((n for n, session in self._sessions.items() if not session.turns), None)
            if name is None:
                return
            for chain in self._chains.pop(self._sessions.pop(name)):
                self._disown(chain)


def _in_order(groups: Sequence[Sequence[KVCacheBlock]]) -> list[KVCacheBlock]:
    """The cached blocks of all KV cache groups, by their place in the context."""
    if len(groups) == 1 and groups[0] and groups[0][0].block_hash is not None:
        blocks = list(groups[0])
        while blocks[-1].block_hash is None:  # not full, or not computed yet
            blocks.pop()
        return blocks
    cached = [block for group in groups for block in group if block.block_hash is not None]
    return sorted(cached, key=lambda block: block.block_hash_num_tokens or 0)


def _extends(new: Sequence[KVCacheBlock], old: Sequence[KVCacheBlock], content: object) -> bool:
    """Whether a context goes on from where another, whose last block held `content`, ended.

    The same blocks are not enough: they may have been filled anew. But a block is found in the
    cache only behind all that come before it, and its hash is an object of its own: the last one
    tells for all.
    """
    last = len(old) - 1
    return len(new) > last and new[last].block_hash is content and all(map(is_, new, old))


def _has_come(chain: Blocks, tier: int) -> bool:
    """Whether a session has come back since its context was ranked."""
    return tier < 4 and chain.is_newest and chain.session is not None and chain.session.turns > 0
