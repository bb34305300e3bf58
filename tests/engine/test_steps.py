"""The benchmark of an engine's steps, on the real engine."""

import pytest

from benchmarks.steps import Batch, Prompt
from benchmarks.steps_play import Asked, NoRoomError, Timer, play
from benchmarks.variants import ROOT
from engine.vllm.backend import VllmEngine
from tests.parts.forked import no_errors_of_warnings

ASKED = Asked(str(ROOT / "models" / "demo"), {"enforce_eager": True}, 0.25, 1024, sleeps=True)


async def test_an_engine_is_timed_and_answers_the_same_after_sleep() -> None:
    prompts, batches = [Prompt(64), Prompt(32, 256)], [Batch(1, 256), Batch(4, 256)]
    with no_errors_of_warnings():
        timed, device = await play(ASKED, prompts, batches)
    assert device
    assert [what for what, _ in timed.prompts] == prompts
    assert [what for what, _ in timed.batches] == batches
    assert all(took_s > 0 for _, took_s in (*timed.prompts, *timed.batches))
    assert [nap.is_same for nap in timed.naps] == [True, True]


async def test_sequences_that_do_not_run_together_are_not_timed() -> None:
    one_at_once = Asked(ASKED.model, {"enforce_eager": True, "max_num_seqs": 1}, 0.25, 1024)
    engine = VllmEngine(one_at_once.config())
    with no_errors_of_warnings():
        await engine.start()
    try:
        with pytest.raises(NoRoomError, match=r"2 x 256 tokens: they did not all run at once"):
            await Timer(engine).batch(Batch(2, 256))
    finally:
        await engine.close()
