"""Tools of other MCP servers; the only folder with the client side of MCP."""
