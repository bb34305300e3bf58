"""What the benchmark of an engine's steps is asked, and what it tells."""

import argparse

import pytest

from benchmarks.agents.costs import CARDS, MODELS, Costs
from benchmarks.steps import STEPS, Batch, Nap, Prompt, Timed, markdown

TIMED = Timed([(Prompt(2048, 16384), 0.1)], [(Batch(16, 2000), 0.005)], [Nap(9.4, 0.4, 0.1, True)])


def asked(*options: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    STEPS.configure(parser)
    return parser.parse_args(options)


def test_the_report_tells_every_time_and_the_sleep() -> None:
    text = markdown(TIMED, {"device": "a card"}, None)
    assert "- device: a card" in text
    assert "| 2,048 tokens behind 16,384 | 100.0 |" in text
    assert "| 16 x 2,000 tokens | 5.0 |" in text
    assert "| 9.40 | 0.40 | 0.100 | yes |" in text


def test_a_modelled_engine_stands_beside_it() -> None:
    clock = Costs(CARDS["h200"], MODELS["8b"]).clock()
    step_s = clock.steps_s(1, 16, 32_000, [])
    text = markdown(TIMED, {}, clock)
    assert f"| 16 x 2,000 tokens | 5.0 | {step_s * 1000:.1f} ({step_s / 0.005:.2f}) |" in text


def test_prompts_and_batches_are_lists() -> None:
    args = asked("--prompts", "512,2048@16384", "--decode", "1x256,16x2000")
    assert args.prompts == [Prompt(512), Prompt(2048, 16384)]
    assert args.decode == [Batch(1, 256), Batch(16, 2000)]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--prompts", "0"), "'0' must be a whole number above 0"),
        (("--prompts", "12@x"), "'x' must be a whole number above 0"),
        (("--decode", "16"), "say SEQUENCESxTOKENS, as in 16x2000"),
        (("--decode", "1x200"), "give contexts of more than 200"),
        (("--kv-cache-gib", "-1"), "say GiB, above 0"),
        (("--args", "[]"), "say an object"),
        (("--args", "{"), "no JSON"),
        (("--against", "h200"), "say CARD:MODEL, one of h100, h200, l40s"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    options: tuple[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        asked(*options)
    assert said in capsys.readouterr().err


def test_shares_of_a_peak_are_of_a_modelled_engine() -> None:
    with pytest.raises(SystemExit, match="say which with --against"):
        STEPS.run(asked("--reached", "measured"))
