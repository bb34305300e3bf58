"""What runs inside vLLM's EngineCore process."""
