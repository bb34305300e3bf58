"""From a name in the profile to an engine."""

from engine.config import EngineConfig
from engine.protocol import Engine


def build(config: EngineConfig) -> Engine:
    """Make the engine that `config.kind` names, not yet started."""
    # The lazy imports: backends are optional, and one of them is heavy.
    if config.kind == "http":
        from engine.http.backend import HttpEngine

        return HttpEngine(config)
    from engine.vllm.backend import VllmEngine

    return VllmEngine(config)
