"""Engines that generate: vLLM in this process, and servers met over HTTP, behind one protocol."""
