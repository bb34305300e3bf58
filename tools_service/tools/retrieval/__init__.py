"""Retrieval over ingested documents: how they are read, cut, indexed and found again."""
