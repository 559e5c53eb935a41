import math

import openai
import pytest

from tests.sandbox.providers import azure_client, both_clients, openai_client


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_vectors_have_length_one_and_the_dimension_of_their_model(ai: str) -> None:
    for client in both_clients(ai):
        for model, dimensions in (("text-embedding-3-small", 1536), ("text-embedding-3-large", 3072)):
            answer = client.embeddings.create(model=model, input=["evening light", "morning light"])

            assert [each.index for each in answer.data] == [0, 1]
            for each in answer.data:
                assert len(each.embedding) == dimensions
                assert math.hypot(*each.embedding) == pytest.approx(1, abs=1e-5)
            assert answer.usage.prompt_tokens == answer.usage.total_tokens > 0


def test_both_encodings_carry_the_same_vector(ai: str) -> None:
    client = openai_client(ai)

    packed = client.embeddings.create(model="text-embedding-3-small", input="x", dimensions=8).data[0]
    plain = client.embeddings.create(
        model="text-embedding-3-small", input="x", dimensions=8, encoding_format="float"
    ).data[0]

    assert packed.embedding == pytest.approx(plain.embedding)
    assert len(plain.embedding) == 8


def test_texts_that_share_words_are_nearer(ai: str) -> None:
    texts = ["sailing in the harbour", "sailing near the harbour", "knitting patterns"]

    answer = openai_client(ai).embeddings.create(model="text-embedding-3-small", input=texts)

    first, second, third = (each.embedding for each in answer.data)
    assert cosine(first, second) > 0.5 > cosine(first, third)


def test_tokens_are_texts_too(ai: str) -> None:
    answer = azure_client(ai).embeddings.create(model="text-embedding-ada-002", input=[[1, 2], [1, 2]])

    assert answer.data[0].embedding == answer.data[1].embedding


@pytest.mark.parametrize(
    "changes",
    [
        {"input": ""},
        {"input": []},
        {"input": ["x"] * 2049},
        {"input": "word " * 8000},
        {"dimensions": 0},
        {"dimensions": 1537},
        {"encoding_format": "hex"},
        {"model": "text-embedding-ada-002", "dimensions": 8},
    ],
)
def test_a_bad_request_is_refused(ai: str, changes: dict[str, object]) -> None:
    with pytest.raises(openai.BadRequestError):
        openai_client(ai).embeddings.create(**{"model": "text-embedding-3-small", "input": "x", **changes})  # type: ignore[arg-type]


def test_a_chat_model_embeds_nothing(ai: str) -> None:
    for client in both_clients(ai):
        with pytest.raises(openai.NotFoundError):
            client.embeddings.create(model="gpt-4o", input="x")
