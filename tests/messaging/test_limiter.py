"""The rule, and that its three forms agree: in Python, in Redis and in PostgreSQL."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from apps.common.ids import uuid7
from apps.messaging.limiter.memory import MemoryLimiter
from apps.messaging.limiter.rules import Candidate, Ended, Limit, Log, Visit, rule

SECOND = 1_000_000
START = 1_800_000_000 * SECOND
ACCOUNT = Limit(10, 60)


def test_a_window_grows_by_what_two_clocks_may_differ() -> None:
    assert rule(10, seconds=60).window == 60_250_000
    assert rule(10, seconds=10).window == 10_100_000


def test_a_gap_is_a_limit_of_one() -> None:
    assert [each.count for each in Limit(10, 60, min_gap_ms=500).rules] == [10, 1]


@dataclass
class Arrivals:
    """What a receiver sees: when each granted request came, and to whom."""

    at: list[tuple[int, Log]] = field(default_factory=list)

    def most_in_a_window(self, log: Log, *, seconds: float) -> int:
        """The most in any half-open window, by brute force: one begins after each arrival's window."""
        times = [when for when, of in self.at if of == log]
        width = round(seconds * SECOND)
        return max((sum(end - width < when <= end for when in times) for end in times), default=0)


# Of each attempt: how long after its grant it arrives, and whether its end is heard of.
_delays = st.integers(min_value=0, max_value=15 * SECOND)
_steps = st.lists(
    st.tuples(
        st.integers(min_value=0, max_value=20 * SECOND),  # until the next visit
        st.integers(min_value=1, max_value=12),  # candidates
        st.lists(st.tuples(st.integers(0, 2), _delays, st.booleans()), min_size=12, max_size=12),
    ),
    max_size=12,
)


@given(steps=_steps, count=st.integers(1, 10), seconds=st.sampled_from([5, 20, 60]))
@settings(max_examples=150)
def test_no_window_at_the_receiver_ever_holds_more(
    steps: Sequence[tuple[int, int, Sequence[tuple[int, int, bool]]]], count: int, seconds: int
) -> None:
    limiter, arrivals, now = MemoryLimiter(), Arrivals(), START
    account = Log("account", uuid7(), Limit(count, seconds).rules)
    fans = [Log("recipient", uuid7(), Limit(2, 30).rules) for _ in range(3)]
    pending: list[tuple[int, Ended]] = []
    for pause, candidates, fates in steps:
        now += pause
        for ended_at, ended in [each for each in pending if each[0] <= now]:
            limiter.settle(account, [ended], now=ended_at)
        pending = [each for each in pending if each[0] > now]
        asked = [Candidate(uuid7(), 1, (fans[fan],)) for fan, _, _ in fates[:candidates]]
        visit = Visit(account.subject_id or uuid7(), (account,), asked)
        (verdict,) = limiter.reserve([visit], ahead=15 * SECOND, now=now)
        for position in verdict.granted:
            fan, delay, heard = fates[position]
            arrivals.at += [(now + delay, account), (now + delay, fans[fan])]
            if heard:
                pending.append((now + delay, Ended(asked[position].message_id, 1, 0, (fans[fan],))))
    assert arrivals.most_in_a_window(account, seconds=seconds) <= count
    assert all(arrivals.most_in_a_window(fan, seconds=30) <= 2 for fan in fans)


def visit_of(account: Log, number: int, *own: Log) -> Visit:
    assert account.subject_id
    return Visit(account.subject_id, (account,), [Candidate(uuid7(), 1, own) for _ in range(number)])


def test_slots_open_one_by_one_as_their_stamps_leave_the_window() -> None:
    limiter = MemoryLimiter()
    account = Log("account", uuid7(), Limit(2, 10).rules)
    for second in (0, 3):
        (verdict,) = limiter.reserve([visit_of(account, 1)], ahead=0, now=START + second * SECOND)
        assert verdict.granted == (0,)
    assert verdict.account_wait == 7_100_000
    (refused,) = limiter.reserve([visit_of(account, 1)], ahead=0, now=START + 10_100_000 - 1)
    assert refused.granted == ()
    (opened,) = limiter.reserve([visit_of(account, 5)], ahead=0, now=START + 10_100_000)
    assert opened.granted == (0,)


def test_what_one_recipient_may_not_get_another_one_does() -> None:
    limiter = MemoryLimiter()
    account = Log("account", uuid7(), ACCOUNT.rules)
    one, other = (Log("recipient", uuid7(), Limit(1, 60).rules) for _ in range(2))
    asked = [Candidate(uuid7(), 1, (fan,)) for fan in (one, one, other)]
    (verdict,) = limiter.reserve([Visit(uuid7(), (account,), asked)], ahead=0, now=START)
    assert verdict.granted == (0, 2)
    assert (verdict.refused[1].log, verdict.refused[1].wait) == (one, 60_250_000)


def test_a_slot_that_is_given_back_is_free_in_all_its_logs() -> None:
    limiter = MemoryLimiter()
    account = Log("account", uuid7(), Limit(1, 60).rules)
    tenant = Log("tenant", uuid7(), Limit(1, 60).rules)
    candidate = Candidate(uuid7(), 1)
    visit = Visit(uuid7(), (tenant, account), [candidate])
    limiter.reserve([visit], ahead=SECOND, now=START)
    wait = limiter.settle(account, [Ended(candidate.message_id, 1, None, (tenant,))], now=START)
    assert wait == 0
    assert limiter.free(tenant, now=START) == 1
