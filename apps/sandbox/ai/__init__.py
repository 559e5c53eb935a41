"""The stand-in for OpenAI and Azure OpenAI: chat completions and embeddings."""
