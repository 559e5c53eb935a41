"""A campaign's progress as one number."""

from hypothesis import given
from hypothesis import strategies as st

from apps.campaigns.progress import Work, progress

NOTHING = Work(texts=0, texts_ready=0, messages=0, messages_ended=0)


def test_a_new_campaign_has_not_begun() -> None:
    assert progress("planning", NOTHING) == 0


def test_a_finished_campaign_is_whole_even_without_messages() -> None:
    assert progress("finished", NOTHING) == 1


@given(st.integers(1, 1000), st.integers(1, 1000), st.data())
def test_progress_never_falls_on_the_way(texts: int, messages: int, data: st.DataObject) -> None:
    ready = sorted(data.draw(st.lists(st.integers(0, texts), max_size=5)))
    ended = sorted(data.draw(st.lists(st.integers(0, messages), max_size=5)))
    way = [
        ("planning", NOTHING),
        *(("personalising", Work(texts, count, 0, 0)) for count in ready),
        ("awaiting_approval", Work(texts, texts, 0, 0)),
        *(("dispatching", Work(texts, texts, messages, count)) for count in ended),
        ("finished", Work(texts, texts, messages, messages)),
    ]
    figures = [progress(status, work) for status, work in way]
    assert figures == sorted(figures)
    assert 0 <= figures[0] <= figures[-1] == 1
