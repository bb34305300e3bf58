"""vLLM in this process; the only folder that imports vllm."""
