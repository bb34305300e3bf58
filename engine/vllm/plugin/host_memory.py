"""vLLM's offloading to host memory on a platform whose KV cache is host memory: plain copies.

vLLM's own spec moves blocks by CUDA or XPU streams. Its scheduler's side (what is stored, found,
loaded and given up) needs neither; with this spec it runs unchanged where a CPU computes, so that
its hits can be counted there. GPUs use vLLM's own spec.
"""

from collections.abc import Iterator, Sequence
from time import perf_counter

import torch
from vllm.v1.kv_offload.base import (
    BlockIDsLoadStoreSpec,
    CanonicalKVCaches,
    GPULoadStoreSpec,
    LoadStoreSpec,
    OffloadingWorker,
    TransferResult,
)
from vllm.v1.kv_offload.config import OffloadingConfig
from vllm.v1.kv_offload.cpu.spec import CPUOffloadingSpec


class HostSpec(CPUOffloadingSpec):  # type: ignore[misc]  # vLLM is not analysed
    """vLLM's own spec with a worker that copies; vLLM finds it by its name and module."""

    _worker: OffloadingWorker | None

    def __init__(self, config: OffloadingConfig) -> None:
        super().__init__(config)
        if self.blocks_per_chunk != 1:
            raise ValueError(
                "on a CPU host memory holds single blocks: leave 'block_size' and "
                "'blocks_per_chunk' out of kv_connector_extra_config"
            )

    def get_worker(self, kv_caches: CanonicalKVCaches) -> OffloadingWorker:
        """The one worker of this process."""
        if self._worker is None:
            self._worker = HostWorker(kv_caches, self.num_chunks)
        return self._worker


class HostWorker(OffloadingWorker):  # type: ignore[misc]
    """Copies blocks between the KV cache and a second place in host memory, at once."""

    def __init__(self, kv_caches: CanonicalKVCaches, chunks: int) -> None:
        self._cache = [each.tensor for each in kv_caches.tensors]
        self._kept = [
            torch.zeros((chunks, each.page_size_bytes), dtype=torch.int8)
            for each in kv_caches.tensors
        ]
        # Of each KV cache group, which of the tensors its blocks lie in.
        self._places = [
            sorted({ref.tensor_idx for ref in refs}) for refs in kv_caches.group_data_refs
        ]
        self._done: list[TransferResult] = []

    def submit_store(
        self, job_id: int, src_spec: GPULoadStoreSpec, dst_spec: LoadStoreSpec
    ) -> bool:
        """Copy blocks out of the cache."""
        began_s, moved = perf_counter(), 0
        for place, blocks, chunks in self._pieces(src_spec, dst_spec):
            rows = self._cache[place][blocks]
            self._kept[place][chunks] = rows
            moved += rows.numel()
        return self._end(job_id, moved, perf_counter() - began_s)

    def submit_load(self, job_id: int, src_spec: LoadStoreSpec, dst_spec: GPULoadStoreSpec) -> bool:
        """Copy blocks back into the cache."""
        began_s, moved = perf_counter(), 0
        for place, blocks, chunks in self._pieces(dst_spec, src_spec):
            rows = self._kept[place][chunks]
            self._cache[place][blocks] = rows
            moved += rows.numel()
        return self._end(job_id, moved, perf_counter() - began_s)

    def get_finished(self) -> list[TransferResult]:
        """All since the last time."""
        done, self._done = self._done, []
        return done

    def wait(self, job_ids: set[int]) -> None:
        """Nothing is left to wait for."""

    def _pieces(
        self, cached: GPULoadStoreSpec, kept: LoadStoreSpec
    ) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
        """The tensor, its rows in the cache and its rows beside it, group by group."""
        assert isinstance(kept, BlockIDsLoadStoreSpec)
        blocks = torch.from_numpy(cached.block_ids).long()
        chunks = torch.from_numpy(kept.block_ids).long()
        sizes: Sequence[int] = list(cached.group_sizes)
        groups = zip(self._places, blocks.split(sizes), chunks.split(sizes), strict=True)
        for places, from_cache, beside in groups:
            for place in places:
                yield place, from_cache, beside

    def _end(self, job_id: int, moved: int, took_s: float) -> bool:
        self._done.append(TransferResult(job_id, True, moved, took_s))
        return True
