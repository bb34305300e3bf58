"""OpenAI-compatible servers (vLLM, SGLang, others) as engines, met over HTTP."""
