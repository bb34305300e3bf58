"""Benchmarks: each measures the gateway and its peers interleaved, over HTTP only."""
