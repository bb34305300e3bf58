"""Agents against one engine in virtual time: vLLM's own scheduler, a modelled clock."""
