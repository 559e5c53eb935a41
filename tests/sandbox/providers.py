"""The real clients, pointed at the stand-in."""

from typing import Any

from openai import AzureOpenAI, OpenAI

BRIEF: list[Any] = [
    {
        "role": "system",
        "content": "You write messages to fans. Use {{ fan.name }} and {{offer.price}} verbatim.",
    },
    {"role": "user", "content": "Announce the pottery evenings in the garden studio"},
]


def openai_client(url: str, **options: Any) -> OpenAI:
    return OpenAI(
        base_url=f"{url}/openai/v1", **{"api_key": "key", "max_retries": 0, "timeout": 5, **options}
    )


def azure_client(url: str, **options: Any) -> AzureOpenAI:
    return AzureOpenAI(
        azure_endpoint=f"{url}/azure",
        api_version="2024-10-21",
        **{"api_key": "key", "max_retries": 0, "timeout": 5, **options},
    )


def both_clients(url: str) -> list[OpenAI]:
    return [openai_client(url), azure_client(url)]
