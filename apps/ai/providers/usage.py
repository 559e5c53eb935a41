"""The tokens that an answer says it took."""

from apps.costs.pricing import Usage

# What the columns hold.
_MOST_TOKENS = 2**31 - 1


def chat_usage(counted: object) -> Usage | None:
    """None where it isn't said, or is none that can be."""
    if not isinstance(counted, dict):
        return None
    details = counted.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    return usage(counted.get("prompt_tokens"), counted.get("completion_tokens"), cached or 0)


def usage(input_tokens: object, output_tokens: object = 0, cached_tokens: object = 0) -> Usage | None:
    """None unless these are numbers of tokens that can be."""
    tokens = [
        each
        for each in (input_tokens, output_tokens, cached_tokens)
        if type(each) is int and each <= _MOST_TOKENS
    ]
    if len(tokens) < 3:
        return None
    try:
        return Usage(*tokens)
    except ValueError:
        return None
