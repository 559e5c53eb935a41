from collections import Counter
from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from apps.sandbox.gateway.audit import fullest_window, judge
from apps.sandbox.gateway.ledger import Arrival, Outcome


def an_arrival(at: float, **changes: object) -> Arrival:
    fields = {
        "at": at,
        "account": "anna",
        "recipient": "fan-1",
        "key": f"key-{at}",
        "text_hash": f"text-{at}",
        "outcome": Outcome.ACCEPTED,
        "status": 201,
        "accepted": True,
        "message_id": "message-1",
    }
    return Arrival(**{**fields, **changes})  # type: ignore[arg-type]  # each caller names fields of its own


def in_fullest_window(times: Iterable[int], window: int) -> int:
    """The definition itself: count what lies in (t - window, t] for every arrival t."""
    times = list(times)
    return max(sum(end - window < time <= end for time in times) for end in times)


@given(times=st.lists(st.integers(0, 60), min_size=1, max_size=40), window=st.integers(1, 70))
def test_the_fullest_window_is_the_one_that_counting_every_window_finds(
    times: list[int], window: int
) -> None:
    count, until = fullest_window(sorted(times), window)

    assert count == in_fullest_window(times, window)
    assert sum(until - window < time <= until for time in times) == count


ARRIVALS = st.lists(
    st.builds(
        lambda at, account, recipient, key, text, outcome: an_arrival(
            at / 1000,
            account=account,
            recipient=recipient,
            key=key,
            text_hash=text,
            outcome=outcome,
            accepted=outcome is Outcome.ACCEPTED,
        ),
        st.integers(1_700_000_000_000, 1_700_000_003_000),
        st.sampled_from("ab"),
        st.sampled_from("xyz"),
        st.sampled_from("1234"),
        st.sampled_from("TU"),
        st.sampled_from(Outcome),
    ),
    max_size=30,
)


@given(arrivals=ARRIVALS, window_ms=st.integers(1, 3500), limit=st.integers(1, 10))
def test_the_audit_agrees_with_brute_force(arrivals: list[Arrival], window_ms: int, limit: int) -> None:
    audit = judge(arrivals, seconds=window_ms / 1000, limit=limit)

    def worst(*names: str) -> int:
        groups: dict[tuple[str, ...], list[int]] = {}
        for each in arrivals:
            if each.outcome is not Outcome.REJECTED:
                groups.setdefault(tuple(getattr(each, name) for name in names), []).append(
                    round(each.at * 1000)
                )
        return max((in_fullest_window(times, window_ms) for times in groups.values()), default=0)

    def surplus(*names: str) -> int:
        found = Counter(tuple(getattr(each, name) for name in names) for each in arrivals if each.accepted)
        return sum(found.values()) - len(found)

    assert (audit.worst_account.count if audit.worst_account else 0) == worst("account")
    assert (audit.worst_recipient.count if audit.worst_recipient else 0) == worst("account", "recipient")
    assert audit.within_limit == (worst("account") <= limit)
    assert audit.duplicates_by_key == surplus("key")
    assert audit.duplicates_by_text == surplus("account", "recipient", "text_hash")
    assert audit.arrivals == len(arrivals)
    assert sum(totals.accepted for totals in audit.accounts.values()) == audit.accepted


def test_arrivals_exactly_a_window_apart_never_share_one() -> None:
    apart = judge([an_arrival(1_700_000_000.1), an_arrival(1_700_000_060.1)], seconds=60, limit=1)
    closer = judge([an_arrival(1_700_000_000.1), an_arrival(1_700_000_060.099999)], seconds=60, limit=1)

    assert apart.within_limit
    assert not closer.within_limit


def test_refused_arrivals_fill_a_window_but_rejected_ones_do_not() -> None:
    failed = an_arrival(1.0, outcome=Outcome.FAILED, accepted=False, status=500)
    rejected = an_arrival(1.0, outcome=Outcome.REJECTED, accepted=False, status=401)

    audit = judge([an_arrival(1.0), failed, rejected], seconds=60, limit=1)

    assert audit.counted == 2
    assert audit.worst_account is not None
    assert audit.worst_account.count == 2


def test_an_empty_ledger_is_within_every_limit() -> None:
    assert judge([], seconds=60, limit=1).within_limit
