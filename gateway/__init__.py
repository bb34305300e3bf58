"""The front door: OpenAI's API, sessions, routing, admission, server-side tools."""
