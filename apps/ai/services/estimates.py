"""The most that a replay can cost if each question is asked once."""

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from uuid import UUID

from apps.ai.models import Generation
from apps.ai.providers import requests
from apps.ai.routing import Candidate
from apps.ai.services import configuration
from apps.ai.services.configuration import Configuration
from apps.ai.services.prompts import active_prompt, render_request
from apps.common.liquid import TemplateError
from apps.costs import pricing
from apps.costs.models import Price

JUDGE = "replay_judge"
# A token of an answer, written into the judge's question: longer than most in any script.
_BYTES_PER_TOKEN = 8
# Those of the judge's prompt, however they are written.
_TAGS = re.compile(r"<(\s*/?\s*(?:request|first|second)\b[^<>]*)>", re.IGNORECASE)


def most_cost(originals: Iterable[Generation], *, target: Candidate, judge: bool) -> Decimal:
    """By the bound that each call is held at, of questions that can be put."""
    config = configuration.current()
    total = Decimal(0)
    for each in originals:
        request = render_request(prompt=each.prompt, variables=each.variables, max_tokens=each.max_tokens)
        size = requests.size(request.body(model=target.model, named=target.called))
        total += _bound(config.prices[target.id], size, request.max_tokens)
        if judge:
            total += _most_of_judging(each, size, config)
    return total


def can_be_put(generation: Generation) -> bool:
    """Whether its prompt can still be filled in as it was: a filter may have gone since."""
    try:
        render_request(
            prompt=generation.prompt, variables=generation.variables, max_tokens=generation.max_tokens
        )
    except TemplateError:
        return False
    return True


def judge_variables(*, question: str, original: str, candidate: str) -> Mapping[str, str]:
    """What the judge's prompt is filled in with: none of it ends one of the prompt's tags, or begins one."""
    texts = {"question": question, "original": original, "candidate": candidate}
    return {name: _TAGS.sub(r"[\1]", text) for name, text in texts.items()}


def put(generation: Generation) -> str:
    """A question as the model was asked it."""
    request = render_request(
        prompt=generation.prompt, variables=generation.variables, max_tokens=generation.max_tokens
    )
    return "\n\n".join(each.content for each in getattr(request, "messages", ()))


def _most_of_judging(original: Generation, question_bytes: int, config: Configuration) -> Decimal:
    """At the dearest deployment that might be asked."""
    prompt = active_prompt(key=JUDGE)
    empty = render_request(
        prompt=prompt,
        variables=judge_variables(question="", original="", candidate=""),
        max_tokens=prompt.max_tokens,
    )
    answer = requests.size({"text": original.text, "data": original.data})
    size = requests.size(empty.body(model="", named="")) + question_bytes + answer
    size += _BYTES_PER_TOKEN * original.max_tokens
    bounds = [
        _bound(config.prices[each.id], size, prompt.max_tokens)
        for each in _judges(config)
        if config.prices[each.id]
    ]
    return max(bounds, default=Decimal(0))


def _judges(config: Configuration) -> Iterable[Candidate]:
    excluded: set[UUID] = set(config.exclusions)
    return (
        each for each in config.deployments if each.id not in excluded and each.model_class != "embedding"
    )


def _bound(price: Price | None, body_bytes: int, max_tokens: int) -> Decimal:
    assert price is not None  # whoever has none isn't asked
    return pricing.bound(body_bytes=body_bytes, max_tokens=max_tokens, rates=price)
