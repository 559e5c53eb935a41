"""What is said to a model besides the question."""

from hypothesis import given
from hypothesis import strategies as st

from apps.ai.conversation import Conversation
from apps.ai.providers.requests import ChatRequest, Message

RULES = Message("system", "Be honest. " * 200)
SCHEMA = {"type": "object", "properties": {"summary": {"type": "string"}}}


def conversation(*messages: Message, max_tokens: int = 500) -> Conversation:
    return Conversation(ChatRequest(messages, max_tokens, schema=SCHEMA))


def length(talk: Conversation) -> int:
    return sum(len(each.content) for each in talk.request.messages)


def test_the_longest_message_loses_its_middle_and_the_rules_stay_whole() -> None:
    question = Message("user", "<request>" + "lake " * 1000 + "</request>")
    talk = conversation(RULES, Message("user", "short"), question)

    short = talk.shortened()

    assert short is not None
    rules, other, said = short.request.messages
    assert (rules, other) == (RULES, Message("user", "short"))
    assert said.content.startswith("<request>lake")
    assert said.content.endswith("lake </request>")
    assert "[…]" in said.content
    assert 0.49 < len(said.content) / len(question.content) < 0.51
    assert short.request.max_tokens == 500


def test_where_the_texts_are_short_the_answers_limit_is_halved() -> None:
    talk = conversation(RULES, Message("user", "Say hello."), max_tokens=4000)

    short = talk.shortened()

    assert short is not None
    assert short.request.messages == talk.request.messages
    assert short.request.max_tokens == 2000


def test_what_is_short_already_is_not_shortened() -> None:
    assert conversation(RULES, Message("user", "Say hello."), max_tokens=500).shortened() is None
    assert conversation(RULES).shortened() is None


@given(
    st.lists(st.builds(Message, st.sampled_from(["system", "user", "assistant"]), st.text(max_size=3000))),
    st.integers(1, 5000),
)
def test_shortening_always_shortens_and_comes_to_an_end(messages: list[Message], max_tokens: int) -> None:
    talk: Conversation | None = conversation(*messages, max_tokens=max_tokens)
    while talk is not None:
        short = talk.shortened()
        if short is not None:
            assert length(short) + short.request.max_tokens < length(talk) + talk.request.max_tokens
            rules = [each for each in talk.request.messages if each.role == "system"]
            assert [each for each in short.request.messages if each.role == "system"] == rules
        talk = short


def test_json_is_asked_for_in_words_among_the_rules() -> None:
    with_rules = conversation(RULES, Message("user", "Plan.")).in_plain_json().request
    without = conversation(Message("user", "Plan.")).in_plain_json().request

    assert [each.role for each in with_rules.messages] == [each.role for each in without.messages]
    for request in (with_rules, without):
        assert '"summary"' in request.messages[0].content
        assert request.messages[1] == Message("user", "Plan.")
        assert not request.strict_format


def test_a_repair_keeps_what_was_done_before() -> None:
    talk = conversation(RULES, Message("user", "Plan.")).in_plain_json()

    repaired = talk.repair(answer="{", problem="It is no JSON.")

    assert not repaired.request.strict_format
    assert repaired.request.messages[-2:] == (
        Message("assistant", "{"),
        Message("user", "It is no JSON. Answer again."),
    )
