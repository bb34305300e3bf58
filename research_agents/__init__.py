"""Agents that research; they meet the gateway over HTTP only."""
