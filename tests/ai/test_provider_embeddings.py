import base64
import math
import struct
from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from apps.ai.providers import PROVIDERS
from apps.ai.providers.outcomes import Completion, Failure, FailureKind, Outcome
from apps.ai.providers.requests import EmbeddingRequest, size
from apps.costs import pricing
from apps.costs.price_list import ListPrice, listed_price
from tests.ai.scripted import ScriptedProvider, scripted_provider
from tests.conftest import Sandbox

BOTH = pytest.mark.parametrize("provider", ["openai", "azure"])
MODEL = "text-embedding-3-small"
LIGHT = EmbeddingRequest(("evening light", "morning light", "日本語 🏔"))


def embed(request: EmbeddingRequest = LIGHT, *, provider: str = "openai", model: str = MODEL) -> Outcome:
    body = request.body(model=model, named=model)
    return PROVIDERS[provider].embed(body, timeout=timedelta(seconds=20))


def price_of(model: str, *, provider: str = "openai") -> ListPrice:
    price = listed_price(provider=provider, model=model, at=timezone.now())
    assert price is not None
    return price


def completion(outcome: Outcome) -> Completion:
    assert isinstance(outcome, Completion), outcome
    return outcome


def packed(*numbers: float) -> str:
    return base64.b64encode(struct.pack(f"<{len(numbers)}f", *numbers)).decode()


def answer(*vectors: Any, **changes: Any) -> dict[str, Any]:
    data = [{"object": "embedding", "index": index, "embedding": each} for index, each in enumerate(vectors)]
    usage = {"prompt_tokens": 3, "total_tokens": 3}
    return {"object": "list", "model": MODEL, "data": data, "usage": usage, **changes}


@pytest.fixture
def script(settings: Any) -> Iterator[ScriptedProvider]:
    with scripted_provider(settings) as provider:
        yield provider


@BOTH
def test_each_text_becomes_a_vector(ai_sandbox: Sandbox, provider: str) -> None:
    outcome = completion(embed(provider=provider))

    assert [len(each) for each in outcome.vectors] == [1536] * 3
    assert all(math.hypot(*each) == pytest.approx(1, abs=1e-5) for each in outcome.vectors)
    assert (outcome.text, outcome.model, outcome.finish_reason) == ("", MODEL, "stop")
    assert outcome.usage is not None
    assert (outcome.usage.input_tokens > 0, outcome.usage.output_tokens) == (True, 0)


@BOTH
def test_vectors_can_be_shorter(ai_sandbox: Sandbox, provider: str) -> None:
    shorter = EmbeddingRequest(("evening light",), dimensions=64)

    assert len(completion(embed(shorter, provider=provider)).vectors[0]) == 64
    refused = embed(shorter, provider=provider, model="text-embedding-ada-002")
    assert isinstance(refused, Failure)
    assert refused.kind is FailureKind.BAD_REQUEST


@BOTH
def test_a_text_that_is_too_long_is_told_apart(ai_sandbox: Sandbox, provider: str) -> None:
    refused = embed(EmbeddingRequest(("word " * 8000,)), provider=provider)

    assert isinstance(refused, Failure)
    assert (refused.kind, refused.maybe_billed) == (FailureKind.CONTEXT_TOO_LONG, False)


def test_the_cost_is_the_inputs_alone_and_within_its_bound(ai_sandbox: Sandbox) -> None:
    rates = price_of(MODEL)
    usage = completion(embed()).usage
    assert usage is not None

    cost = pricing.cost(usage=usage, rates=rates)

    body_bytes = size(LIGHT.body(model=MODEL, named=MODEL))
    bound = pricing.bound(body_bytes=body_bytes, max_tokens=LIGHT.max_tokens, rates=rates)
    assert cost == usage.input_tokens * rates.input_per_million / Decimal(1_000_000)
    assert 0 < cost <= bound


def test_vectors_stand_in_the_order_of_their_texts(script: ScriptedProvider) -> None:
    document = answer(packed(1), packed(2), packed(3))
    document["data"].reverse()
    script.says(document)

    assert completion(embed()).vectors == ((1.0,), (2.0,), (3.0,))


def test_plain_vectors_are_read_too(script: ScriptedProvider) -> None:
    script.says(answer([1, 2.5], [0.5, 0], packed(3, 4)))

    assert completion(embed()).vectors == ((1.0, 2.5), (0.5, 0.0), (3.0, 4.0))


@pytest.mark.parametrize(
    "vectors",
    [
        (packed(1), packed(2)),
        (packed(1),) * 4,
        (packed(1), packed(2), packed()),
        (packed(1), packed(2), packed(math.nan)),
        (packed(1), packed(2), packed(math.inf)),
        (packed(1), packed(2), "?"),
        (packed(1), packed(2), "AAA="),
        (packed(1), packed(2), ["x"]),
        (packed(1), packed(2), []),
    ],
)
def test_what_is_no_vector_for_each_text_is_malformed(
    script: ScriptedProvider, vectors: tuple[Any, ...]
) -> None:
    script.says(answer(*vectors))

    outcome = embed()

    assert isinstance(outcome, Failure)
    assert outcome.kind is FailureKind.MALFORMED
    assert outcome.maybe_billed is (outcome.usage is None)


ODD = [None, 5, 3.5, True, "x", "\ud83d\0", [], [1], {}, {"a": 1}, 2**40]


@pytest.mark.parametrize("value", ODD)
def test_whatever_json_a_provider_sends_is_read_as_something(script: ScriptedProvider, value: Any) -> None:
    good = {"index": 0, "embedding": packed(1)}
    for changed in (
        value,
        answer(data=value),
        answer(data=[value]),
        answer(value, value, value),
        answer(data=[{**good, "index": value}]),
        answer(packed(1), packed(2), packed(3), model=value),
        answer(packed(1), packed(2), packed(3), usage=value),
        answer(packed(1), packed(2), packed(3), usage={"prompt_tokens": value}),
    ):
        script.says(changed)
        outcome = embed()
        if isinstance(outcome, Completion):
            assert len(outcome.model) <= 100
            assert len(outcome.vectors) == 3
        else:
            assert outcome.kind is FailureKind.MALFORMED


@pytest.mark.parametrize("seller", ["openai", "azure"])
def test_every_known_model_that_embeds_has_a_price_without_output(seller: str) -> None:
    for model in (MODEL, "text-embedding-3-large", "text-embedding-ada-002"):
        price = price_of(model, provider=seller)
        assert (price.kind, price.output_per_million) == ("embedding", Decimal(0))
        assert price.input_per_million > 0
