"""Does a profile's context fit into its GPUs' memory? In numbers, with what to change."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.config import EngineConfig
from roundhouse.capacity import (
    GIB,
    Plan,
    Shape,
    budget,
    longest,
    margin,
    sequence_bytes,
    sequences,
    token_bytes,
    weights,
)
from roundhouse.checks import Finding, State
from roundhouse.errors import ConfigFault
from roundhouse.model_config import find_folder, kv_bytes_of, number, read_shape

UTILIZATION = 0.92  # vLLM 0.32's own default
TOO_MUCH = 0.95
NEEDED_TIMES = 4  # a limit so many times what sessions use bounds nothing


@dataclass(frozen=True, slots=True)
class Gpus:
    """GPUs that are there, or that somebody asks about."""

    memory_bytes: int
    """Of each; 0 when a CPU computes."""
    count: int


@dataclass(frozen=True, slots=True)
class Case:
    """One engine with everything that its memory depends on."""

    engine: EngineConfig
    shape: Shape
    plan: Plan
    gpus: Gpus
    session_tokens: int | None

    @property
    def what(self) -> str:
        return f"memory of {self.engine.name}"

    def fault(self, detail: str, remedy: str) -> Finding:
        return Finding(self.what, State.FAULT, detail, remedy)

    def warn(self, detail: str, remedy: str) -> Finding:
        return Finding(self.what, State.WARN, detail, remedy)


def check_context(
    engine: EngineConfig, gpus: Gpus, hub: Path, session_tokens: int | None
) -> Iterator[Finding]:
    """Everything about the memory of one engine."""
    what = f"memory of {engine.name}"
    if not gpus.memory_bytes and engine.kv_cache_gib is None:
        remedy = "kv_cache_gib, or ask with --gpu-memory-gib"
        yield Finding(what, State.WARN, "no GPU, and no kv_cache_gib: vLLM decides", remedy)
        return
    folder = find_folder(engine.model, hub)
    if folder is None:
        detail = f"unknown: config.json of {engine.model} is not on this machine"
        yield Finding(what, State.WARN, detail, "download the model, then ask again")
        return
    try:
        shape = read_shape(folder, engine.dtype)
        case = Case(engine, shape, plan(engine, shape, gpus), gpus, session_tokens)
    except ConfigFault as fault:
        yield Finding(what, State.WARN, f"unknown: {fault}", fault.remedy)
        return
    yield from check_case(case)


def check_sharing(engines: Iterable[EngineConfig]) -> Iterator[Finding]:
    """Engines on one GPU each take their share of the whole of it. Raises ConfigFault."""
    taken: dict[int, float] = {}
    for engine in engines:
        share = number(engine.args, "gpu_memory_utilization", UTILIZATION)
        size = int(number(engine.args, "tensor_parallel_size", 1))
        for index in engine.devices or range(size):
            taken[index] = taken.get(index, 0) + share
    for index, share in taken.items():
        if share > 1:
            detail = f"the engines' gpu_memory_utilization on it is {share:.2f} together"
            remedy = "give each its own `devices`, or shares of 0.95 together"
            yield Finding(f"GPU {index}", State.FAULT, detail, remedy)


def plan(engine: EngineConfig, shape: Shape, gpus: Gpus) -> Plan:
    """What the profile asks for. Raises ConfigFault."""
    args = engine.args
    kv_bytes = None if engine.kv_cache_gib is None else int(engine.kv_cache_gib * GIB)
    return Plan(
        gpu_bytes=gpus.memory_bytes,
        utilization=number(args, "gpu_memory_utilization", UTILIZATION),
        tensor_parallel=max(1, int(number(args, "tensor_parallel_size", 1))),
        max_model_len=engine.max_model_len or shape.longest,
        max_num_seqs=int(number(args, "max_num_seqs", 256)),
        batched_tokens=int(number(args, "max_num_batched_tokens", 8192)),
        kv_dtype_bytes=kv_bytes_of(args.get("kv_cache_dtype"), shape),
        kv_bytes=kv_bytes,
    )


def check_case(case: Case) -> Iterator[Finding]:
    """First what can't be; where all fits, what is wasteful; then the figures."""
    yield from check_parallel(case)
    yield from check_utilization(case)
    impossible = check_weights(case) or check_one_sequence(case)
    if impossible:
        yield impossible
        return
    yield from check_length(case)
    yield from check_sequences(case)
    yield Finding(case.what, State.OK, figures(case))


def check_parallel(case: Case) -> Iterator[Finding]:
    size, shape = case.plan.tensor_parallel, case.shape
    if size > case.gpus.count and case.gpus.memory_bytes:
        detail = f"tensor_parallel_size {size}, and there are {case.gpus.count} GPUs"
        yield case.fault(detail, f"tensor_parallel_size: {divisor(shape.heads, case.gpus.count)}")
    if shape.heads % size:
        detail = f"tensor_parallel_size {size} does not divide {shape.heads} attention heads"
        yield case.fault(detail, f"tensor_parallel_size: {divisor(shape.heads, size)}")
    elif shape.kv_heads % size and size % shape.kv_heads:
        detail = f"tensor_parallel_size {size} does not divide {shape.kv_heads} KV heads"
        yield case.fault(detail, f"tensor_parallel_size: {divisor(shape.kv_heads, size)}")
    elif size > shape.kv_heads and not shape.latent:
        copies = size // shape.kv_heads
        detail = f"{shape.kv_heads} KV heads on {size} GPUs: each is kept {copies} times"
        yield case.warn(detail, f"tensor_parallel_size: {shape.kv_heads} holds as many tokens each")


def divisor(of: int, most: int) -> int:
    """The largest divisor that is not more than `most`."""
    return next(size for size in range(max(1, min(of, most)), 0, -1) if of % size == 0)


def check_utilization(case: Case) -> Iterator[Finding]:
    share = case.plan.utilization
    if case.plan.kv_bytes is None and share > TOO_MUCH:
        left = case.plan.gpu_bytes * (1 - share) / GIB
        detail = f"gpu_memory_utilization {share:g} leaves {left:.1f} GiB of each GPU for peaks"
        yield case.warn(detail, "gpu_memory_utilization: 0.92, at most 0.95")


def check_weights(case: Case) -> Finding | None:
    plan, need = case.plan, weights(case.shape, case.plan)
    usable = plan.gpu_bytes * plan.utilization
    if not plan.gpu_bytes or need + margin(case.shape, plan) < usable:
        return None
    detail = (
        f"weights {need / GIB:.1f} GiB and about {margin(case.shape, plan) / GIB:.1f} GiB for "
        f"activations on each GPU, and {usable / GIB:.1f} GiB may be used"
    )
    size = 2 * plan.tensor_parallel
    return case.fault(detail, f"tensor_parallel_size: {size} or more, or a quantized model")


def check_one_sequence(case: Case) -> Finding | None:
    plan, left = case.plan, budget(case.shape, case.plan)
    if plan.kv_bytes and plan.gpu_bytes:
        needed = plan.kv_bytes + weights(case.shape, plan) + margin(case.shape, plan)
        if needed > plan.gpu_bytes:
            fits = (plan.gpu_bytes - needed + plan.kv_bytes) / GIB
            detail = f"kv_cache_gib {plan.kv_bytes / GIB:g} and the rest are {needed / GIB:.1f} GiB"
            return case.fault(detail, f"kv_cache_gib: {max(0.0, fits):.1f}")
    need = sequence_bytes(case.shape, plan, plan.max_model_len)
    if left >= need:
        return None
    detail = (
        f"one sequence of {plan.max_model_len} tokens needs {need / GIB:.2f} GiB of KV cache, and "
        f"there is {left / GIB:.2f} GiB"
    )
    return case.fault(detail, f"max_model_len: {longest(case.shape, plan)} at most")


def check_length(case: Case) -> Iterator[Finding]:
    plan, used = case.plan, case.session_tokens
    if case.shape.longest and plan.max_model_len > case.shape.longest:
        detail = f"max_model_len {plan.max_model_len}, and the model was made for "
        yield case.fault(f"{detail}{case.shape.longest}", f"max_model_len: {case.shape.longest}")
    if used and plan.max_model_len < used:
        detail = f"sessions of {used} tokens are longer than max_model_len {plan.max_model_len}"
        yield case.warn(detail, f"max_model_len: {used}")
    if used and plan.max_model_len > NEEDED_TIMES * used:
        share = sequence_bytes(case.shape, plan, plan.max_model_len) / budget(case.shape, plan)
        detail = (
            f"max_model_len {plan.max_model_len} is {plan.max_model_len / used:.0f} times what "
            f"sessions use; one runaway session may take {share:.0%} of the KV cache"
        )
        yield case.warn(detail, f"max_model_len: {2 * used}")


def check_sequences(case: Case) -> Iterator[Finding]:
    """Preempted sequences are computed twice: do as many fit as may run?"""
    plan = case.plan
    tokens = min(case.session_tokens or plan.max_model_len, plan.max_model_len)
    fit = sequences(case.shape, plan, tokens)
    if fit < plan.max_num_seqs and (case.session_tokens or "max_num_seqs" in case.engine.args):
        length = f"{tokens} tokens" if case.session_tokens else "full length"
        detail = f"max_num_seqs {plan.max_num_seqs}, and {fit} sequences of {length} fit"
        yield case.warn(detail, f"max_num_seqs: {max(1, fit)}, unless most stay far shorter")


def figures(case: Case) -> str:
    """What fits, and what of it is an estimate."""
    shape, plan, left = case.shape, case.plan, budget(case.shape, case.plan)
    tokens = min(case.session_tokens or plan.max_model_len, plan.max_model_len)
    origin = "" if plan.kv_bytes else "about "
    return (
        f"{token_bytes(shape, plan) / 1024:g} KiB of KV cache a token, {origin}{left / GIB:.1f} GiB"
        f" for it: {longest_text(case)}, {sequences(shape, plan, tokens)} sequences of {tokens}"
    )


def longest_text(case: Case) -> str:
    """All tokens together, where every layer keeps all of them."""
    if case.shape.sliding_layers:
        return f"one of up to {longest(case.shape, case.plan)} tokens"
    return f"{longest(case.shape, case.plan)} tokens"
