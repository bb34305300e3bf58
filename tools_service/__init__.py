"""The tools service: tools over MCP, and what it has learned about how long they take."""
