"""The generator: a stream decides everything, splits are apart, answers follow from results."""

import json

from models import dialogues
from models.dialogues import REFUSAL, Dialogue, Split
from models.evaluate import parsed
from models.results import FINAL, quote


def drawn(split: Split, seed: int, count: int = 200) -> list[Dialogue]:
    """So many dialogues from the start of a stream."""
    rng = dialogues.stream(split, seed)
    return [dialogues.draw(rng) for _ in range(count)]


def test_a_seed_gives_the_same_dialogues_again() -> None:
    assert drawn("train", 1) == drawn("train", 1)
    assert drawn("train", 1) != drawn("train", 2)


def test_held_out_dialogues_share_no_call_with_those_of_the_training() -> None:
    def calls(split: Split) -> set[str]:
        texts = [
            message.text for dialogue in drawn(split, 1, 2000) for message in dialogue.messages
        ]
        return {text for text in texts if text.startswith("<tool_call>")}

    shared = calls("train") & calls("held-out")
    # A query of one word can come twice: that is chance, not leakage.
    assert len(shared) < 0.01 * len(calls("held-out"))


def test_every_call_is_of_an_offered_tool_and_its_parameters() -> None:
    for dialogue in drawn("train", 3):
        offered = {tool.name: set(tool.parameters) for tool in dialogue.tools.offered}
        for message in dialogue.messages:
            for call in parsed(message.text) if message.role == "assistant" else []:
                arguments = call["arguments"]
                assert isinstance(arguments, dict)
                assert set(arguments) <= offered[str(call["name"])]


def test_a_dialogue_has_up_to_three_calls_at_once_and_sometimes_none_fits() -> None:
    texts = [
        message.text
        for dialogue in drawn("train", 4, 1000)
        for message in dialogue.messages
        if message.role == "assistant"
    ]
    assert {len(parsed(text)) for text in texts} == {0, 1, 2, 3}
    assert REFUSAL in texts


def test_the_segments_to_learn_are_what_the_assistant_says() -> None:
    for dialogue in drawn("train", 5):
        learnt = [segment.text for segment in dialogue.segments() if segment.learn]
        said = [message.text for message in dialogue.messages if message.role == "assistant"]
        assert learnt == [text + "<|im_end|>" for text in said]


def test_a_found_page_is_quoted_in_the_answer() -> None:
    quoted = 0
    for dialogue in drawn("train", 6, 400):
        results = [message.text for message in dialogue.messages if message.role == "tool"]
        answers = [m.text for m in dialogue.messages if m.text.startswith(FINAL)]
        if len(results) == len(answers) == 1 and '"results"' in results[0]:
            pages = json.loads(results[0])["results"]
            expected = quote(pages[0]["content"]) if pages else "I found nothing."
            assert answers == [FINAL + expected]
            quoted += 1
    assert quoted > 10


def test_a_quote_is_the_first_sentence_of_the_first_line() -> None:
    assert quote("One is 3.5 metres. Two.") == "One is 3.5 metres."
    assert quote("One\nTwo. Three.") == "One"
    assert quote("Final Answer: One. Two") == "One."
