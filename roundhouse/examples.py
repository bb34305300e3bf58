"""Three ways to ask the running gateway, ready to copy."""

TEXT = """\
Roundhouse is ready at {url}/v1 (model {model}). Ctrl-C stops it.

# curl
curl {url}/v1/chat/completions -H 'Content-Type: application/json'{header} -d '{{
  "model": "{model}",
  "messages": [{{"role": "user", "content": "What is 17 * 23?"}}],
  "tools": [{{"type": "mcp", "server_label": "roundhouse", "require_approval": "never"}}]}}'

# OpenAI SDK
from openai import OpenAI
client = OpenAI(base_url="{url}/v1", api_key="{key}")
answer = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "What is 17 * 23?"}}],
    tools=[{{"type": "mcp", "server_label": "roundhouse", "require_approval": "never"}}],
)
print(answer.choices[0].message.content)

# this command, from another terminal
roundhouse ask --url {url} "What is 17 * 23?"
"""

KEY_HEADER = """ \\
  -H "Authorization: Bearer $ROUNDHOUSE_API_KEY\""""


def examples(url: str, model: str, locked: bool) -> str:
    """`locked`: the gateway asks for a key; the key itself is never shown."""
    key = "<your key>" if locked else "none"
    return TEXT.format(url=url, model=model, key=key, header=KEY_HEADER if locked else "")
