"""The gateway: OpenAI and Anthropic APIs in front of the pool; the only place that knows text."""
