"""The report on contexts that come back from host memory."""

from benchmarks.tier import VARIANTS, Found, markdown


def test_what_is_found_nowhere_was_computed() -> None:
    assert Found(prompt=700, at_hand=64, from_host=576).computed == 60


def test_the_report_has_a_row_for_every_engine() -> None:
    found = [(variant, Found(700, 0, 100 * number)) for number, variant in enumerate(VARIANTS)]
    text = markdown(found, {"cores": "2"})
    assert "- cores: 2" in text
    assert "| no host memory | 700 | 0 | 0 | 700 |" in text
    assert "| host memory | 700 | 0 | 100 | 600 |" in text
