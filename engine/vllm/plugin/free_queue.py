"""The queue of free KV blocks, in the order in which they are given up."""

from collections.abc import Callable

from vllm.v1.core.kv_cache_utils import FreeKVCacheBlockQueue, KVCacheBlock

# Victims are named some at a time, a small share of the pool: until they are taken they are found.
_AHEAD, _AHEAD_SHARE = 512, 256
_LOOKS = 64


class FreeQueue(FreeKVCacheBlockQueue):  # type: ignore[misc]  # vLLM is not analysed
    """vLLM's queue, which asks for victims when what nobody lays claim to has run out.

    All blocks stay in the one list and count as free, whoever claims them; so an allocation that
    vLLM could make can always be made. Nothing is sorted: only the blocks taken move.
    """

    def __init__(
        self,
        blocks: list[KVCacheBlock],
        claims: list[int],
        victims: Callable[[int], list[KVCacheBlock]],
    ) -> None:
        """`claims` counts the contexts that hold each block, by block id.

        `victims` takes up to so many claimed blocks out of this queue, the least valuable first.
        """
        super().__init__(blocks)
        self._ahead = min(_AHEAD, len(claims) // _AHEAD_SHARE)
        self._claims = claims
        self._victims = victims
        self.is_plain = True
        """Whether nobody claims anything: then the order is vLLM's own."""

    def popleft_n(self, n: int) -> list[KVCacheBlock]:
        """Take n blocks: those of nobody, then the least valuable, then the oldest."""
        taken: list[KVCacheBlock]
        if self.is_plain:
            taken = super().popleft_n(n)
            return taken
        if self._ready(n) < n:
            self._sweep()
            if (ready := self._ready(n)) < n:
                first = super().popleft_n(ready)
                first += self._victims(max(n - ready, self._ahead))
                self.prepend_n(first)
                if len(first) < n:
                    return self._take_claimed(n)
        taken = super().popleft_n(n)
        return taken

    def _take_claimed(self, n: int) -> list[KVCacheBlock]:
        """Take n blocks of which some are claimed, and nobody could say which are worth least."""
        taken: list[KVCacheBlock] = super().popleft_n(n)
        for block in taken:
            self._claims[block.block_id] = 0
        return taken

    def _ready(self, n: int) -> int:
        """How many blocks at the head, up to n, nobody claims."""
        claims, count = self._claims, 0
        block = self.fake_free_list_head.next_free_block
        while count < n and block is not self.fake_free_list_tail:
            if claims[block.block_id]:
                if block.block_hash is not None:
                    break
                claims[block.block_id] = 0  # it was taken out of the cache
            count += 1
            block = block.next_free_block
        return count

    def _sweep(self) -> None:
        """Move claimed blocks from the head to the tail, a few each time.

        So what nobody claims comes to the head in the end, wherever it lies, and no call looks
        through the whole list.
        """
        passed: list[KVCacheBlock] = []
        block = self.fake_free_list_head.next_free_block
        for _ in range(_LOOKS):
            if block is self.fake_free_list_tail:
                break
            if self._claims[block.block_id] and block.block_hash is not None:
                passed.append(block)
            block = block.next_free_block
        self.remove_n(passed)
        self.append_n(passed)

    def remove_n(self, blocks: list[KVCacheBlock]) -> None:
        """Take these blocks out, wherever they are."""
        for block in blocks:
            before, after = block.prev_free_block, block.next_free_block
            before.next_free_block = after
            after.prev_free_block = before
            block.prev_free_block = block.next_free_block = None
        self.num_free_blocks -= len(blocks)
