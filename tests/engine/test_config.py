"""What may be said about an engine."""

import pytest
from pydantic import ValidationError

from engine.config import EngineConfig

FAR = {"name": "far", "kind": "http", "model": "m", "url": "http://gpu1:8000"}


def test_what_is_written_out_can_be_read_back() -> None:
    for said in (FAR, {"name": "near", "model": "m"}):
        config = EngineConfig.model_validate(said)
        assert EngineConfig.model_validate(config.model_dump(mode="json")) == config


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ({**FAR, "url": None}, "needs a url"),
        ({**FAR, "url": "gpu1:8000"}, "url"),
        ({**FAR, "tool_parser": "hermes"}, "'tool_parser' means nothing"),
        ({**FAR, "tools_in_prompt": True}, "'tools_in_prompt' means nothing"),
        ({**FAR, "continuity_mib": 1}, "'continuity_mib' means nothing"),
        ({**FAR, "shutdown_s": 1}, "'shutdown_s' means nothing"),
        ({**FAR, "args": {"max_num_seqs": 1}}, "'args' means nothing"),
        ({**FAR, "flavour": "tgi"}, "flavour"),
        ({"name": "near", "model": "m", "url": "http://gpu1"}, "'url' means nothing"),
        ({"name": "near", "model": "m", "http": {"idle_s": 1}}, "'http' means nothing"),
        ({"name": "near", "model": "m", "fetches": 4}, "'fetches' means nothing without"),
        ({"name": "near", "model": "m", "fetch_lead_s": 9}, "set 'host_memory_gib'"),
    ],
)
def test_a_setting_nobody_would_honour_is_refused(said: dict[str, object], fault: str) -> None:
    with pytest.raises(ValidationError, match=fault):
        EngineConfig.model_validate(said)
