"""From a name in the profile to an engine."""

from engine.config import EngineConfig
from engine.protocol import Engine


def build(config: EngineConfig) -> Engine:
    """Make the engine that `config.kind` names, not yet started."""
    # The one lazy import: backends are optional and heavy.
    from engine.vllm.backend import VllmEngine

    return VllmEngine(config)
