"""The queue of free KV blocks, in the order in which they are given up."""

from collections.abc import Callable

from vllm.v1.core.kv_cache_utils import FreeKVCacheBlockQueue, KVCacheBlock

_LOOKS = 16  # at claimed blocks, while there are others among them; else at one


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
        self._claims = claims
        self._victims = victims
        self._looks = _LOOKS
        self.is_plain = True
        """Whether nobody claims anything: then the order is vLLM's own."""

    def popleft_n(self, n: int) -> list[KVCacheBlock]:
        """Take n blocks: those of nobody, then the least valuable, then the oldest."""
        taken: list[KVCacheBlock]
        if self.is_plain:
            taken = super().popleft_n(n)
            return taken
        taken = self._unclaimed(n)
        if len(taken) < n:
            taken += self._victims(n - len(taken))
        if len(taken) < n:
            taken += super().popleft_n(n - len(taken))
        for block in taken:
            self._claims[block.block_id] = 0
        return taken

    def _unclaimed(self, n: int) -> list[KVCacheBlock]:
        """Blocks of nobody near the head.

        Those that are claimed are moved to the tail, a few each time: so what nobody claims comes
        to the head in the end, wherever it lies, and no call looks through the whole list.
        """
        taken: list[KVCacheBlock] = []
        passed: list[KVCacheBlock] = []
        claims, tail = self._claims, self.fake_free_list_tail
        block = self.fake_free_list_head.next_free_block
        while len(taken) < n and len(passed) < self._looks and block is not tail:
            claimed = claims[block.block_id] and block.block_hash is not None
            (passed if claimed else taken).append(block)
            block = block.next_free_block
        self._looks = _LOOKS if taken else 1
        self.remove_n(taken)
        self.remove_n(passed)
        self.append_n(passed)
        return taken

    def remove_n(self, blocks: list[KVCacheBlock]) -> None:
        """Take these blocks out, wherever they are."""
        for block in blocks:
            before, after = block.prev_free_block, block.next_free_block
            before.next_free_block = after
            after.prev_free_block = before
            block.prev_free_block = block.next_free_block = None
        self.num_free_blocks -= len(blocks)
