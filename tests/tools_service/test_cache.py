"""Kept results: never too old, never too many, never too large."""

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from tests.parts.clock import Clock
from tools_service.cache import Cache
from tools_service.execution_config import CacheConfig

steps = st.tuples(
    st.sampled_from(["put", "get", "wait"]), st.sampled_from("abcdef"), st.integers(1, 700)
)


@given(st.lists(steps, max_size=100))
def test_it_holds_what_a_plain_model_holds(story: list[tuple[str, str, int]]) -> None:
    clock, config = Clock(), CacheConfig(entries=3, bytes=1024)
    cache: Cache[int] = Cache(config, clock)
    model: OrderedDict[str, tuple[int, int, float]] = OrderedDict()
    for number, (act, key, size) in enumerate(story):
        if act == "put":
            cache.put(key, number, size, ttl_s=10.0)
            model.pop(key, None)
            model[key] = (number, size, clock() + 10.0)
            while len(model) > 3 or sum(size for _, size, _ in model.values()) > 1024:
                model.popitem(last=False)
        elif act == "wait":
            clock.now_s += size / 100
        else:
            value, _, until = model.get(key, (None, 0, 0.0))
            if value is not None and until <= clock():
                del model[key]
                value = None
            elif value is not None:
                model.move_to_end(key)
            assert cache.get(key) == value
        assert cache.bytes == sum(size for _, size, _ in model.values()) <= 1024
        assert len(cache) == len(model) <= 3


def test_what_is_larger_than_the_whole_cache_is_not_kept_and_drives_nobody_out() -> None:
    cache: Cache[str] = Cache(CacheConfig(entries=3, bytes=1024), Clock())
    cache.put("small", "s", 10, ttl_s=1.0)
    cache.put("large", "l", 1025, ttl_s=1.0)
    assert (cache.get("small"), cache.get("large")) == ("s", None)
