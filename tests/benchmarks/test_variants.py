"""How each variant is started."""

import json
from pathlib import Path

import pytest

from benchmarks import streaming
from benchmarks.variants import FAKE_EXECUTOR, NotRunnable, Place, Setup, gateway, vllm, vllm_rust

FAKE = Setup(Path("/models/demo"), fake=True, step_ms=8.0)


def test_gateway_and_vllm_get_the_same_engine_flags(tmp_path: Path) -> None:
    place = Place(8123, tmp_path)
    ours, theirs = gateway(FAKE, place), vllm(FAKE, place)
    config = json.loads(Path(ours.argv[-1]).read_text())
    args = config["engines"][0]["args"]
    assert args == FAKE.engine_args
    assert args["distributed_executor_backend"] == FAKE_EXECUTOR
    flags = " ".join(theirs.argv)
    assert "--max-model-len 4096 --enforce-eager --max-num-seqs 256" in flags
    assert f"--distributed-executor-backend {FAKE_EXECUTOR}" in flags
    assert ours.environment == theirs.environment


def test_a_real_engine_keeps_its_own_executor(tmp_path: Path) -> None:
    real = Setup(Path("/models/demo"), fake=False, step_ms=8.0)
    assert "--distributed-executor-backend" not in vllm(real, Place(8123, tmp_path)).argv


def test_without_its_binary_the_rust_front_end_is_not_runnable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VLLM_RUST_FRONTEND_PATH", str(tmp_path / "absent"))
    with pytest.raises(NotRunnable, match="vllm-rs"):
        vllm_rust(FAKE, Place(8123, tmp_path))


def test_every_other_repetition_turns_the_order_round() -> None:
    orders = [streaming.in_turn(["a", "b"], repetition) for repetition in range(3)]
    assert orders == [["a", "b"], ["b", "a"], ["a", "b"]]


def test_the_request_asks_for_usage_when_streamed() -> None:
    streamed = json.loads(streaming.body(128, streamed=True))
    assert streamed["stream_options"] == {"include_usage": True}
    assert (streamed["max_tokens"], streamed["ignore_eos"]) == (128, True)
    short = json.loads(streaming.body(4, streamed=False))
    assert not short["stream"]
    assert "stream_options" not in short
