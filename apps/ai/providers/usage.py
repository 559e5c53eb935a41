"""The tokens that an answer says it took."""

from openai.types import CompletionUsage

from apps.costs.pricing import Usage

# What the columns hold.
_MOST_TOKENS = 2**31 - 1


def chat_usage(counted: CompletionUsage | None) -> Usage | None:
    """None where it isn't said, or is none that can be."""
    if counted is None:
        return None
    try:
        details = counted.prompt_tokens_details
        cached = (details.cached_tokens or 0) if details else 0
        return usage(counted.prompt_tokens, counted.completion_tokens, cached)
    except AttributeError:
        return None


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
