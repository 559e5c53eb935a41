"""The limiter's decision against the receiver: windows are counted over arrivals, by brute force."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from apps.messaging.limiter import Candidate, Limit, Log, admit, decide

START = datetime(2026, 3, 1, tzinfo=UTC)
ROOMY = Limit(count=10_000, seconds=60)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def fullest(arrivals: list[datetime], seconds: float) -> int:
    """The most arrivals in any half-open window (t - seconds, t]."""
    window = timedelta(seconds=seconds)
    return max((sum(end - window < each <= end for each in arrivals) for end in arrivals), default=0)


visits = st.lists(
    st.tuples(
        st.integers(0, 4_000),  # milliseconds since the last visit
        st.lists(  # the requests that would like to go: recipient, arrival, end (in ms), what becomes of them
            st.tuples(
                st.integers(0, 2),
                st.integers(0, 3_000),
                st.integers(0, 3_000),
                st.sampled_from(["ended", "never heard of again", "never started"]),
            ),
            max_size=6,
        ),
    ),
    max_size=14,
)


@given(visits=visits, count=st.integers(1, 4), seconds=st.integers(1, 6), fan_count=st.integers(1, 3))
def test_no_window_at_the_receiver_ever_holds_more_than_the_limit(
    visits: list[tuple[int, list[tuple[int, int, int, str]]]], count: int, seconds: int, fan_count: int
) -> None:
    account, recipient = Limit(count, seconds), Limit(fan_count, seconds)
    longest = timedelta(seconds=3)
    stamps: dict[UUID, tuple[UUID, datetime]] = {}
    endings: list[tuple[datetime, UUID, str]] = []
    arrivals: list[tuple[UUID, datetime]] = []
    now, number = START, 0
    for pause, wishes in visits:
        now += timedelta(milliseconds=pause)
        for ended_at, key, fate in [ending for ending in endings if ending[0] <= now]:
            endings.remove((ended_at, key, fate))
            if fate == "never started":
                del stamps[key]
            else:
                stamps[key] = (stamps[key][0], min(stamps[key][1], ended_at))
        log = Log()
        for fan_id, stamp in stamps.values():
            log.add(fan_id, stamp)
        asked = {}
        for wish in wishes:
            number += 1
            asked[UUID(int=number)] = wish
        admission = admit(
            [Candidate(key, UUID(int=wish[0])) for key, wish in asked.items()],
            log=log,
            account=account,
            recipient=recipient,
            stamp=now + longest,
            now=now,
        )
        for key in admission.granted:
            fan, first, second, fate = asked[key]
            stamps[key] = (UUID(int=fan), now + longest)
            arrived, ended = sorted(
                (now + timedelta(milliseconds=first), now + timedelta(milliseconds=second))
            )
            if fate != "never heard of again":
                endings.append((ended, key, fate))
            if fate != "never started":
                arrivals.append((UUID(int=fan), arrived))
    assert fullest([when for _, when in arrivals], seconds) <= count
    for fan_id in {fan for fan, _ in arrivals}:
        assert fullest([when for fan, when in arrivals if fan == fan_id], seconds) <= fan_count


@given(
    stamps=st.lists(st.integers(-20_000, 20_000), max_size=12),
    count=st.integers(1, 5),
    seconds=st.integers(1, 15),
)
def test_the_next_free_instant_is_the_first_one_with_a_slot(
    stamps: list[int], count: int, seconds: int
) -> None:
    log = [START + timedelta(milliseconds=stamp) for stamp in stamps]
    limit = Limit(count, seconds)

    decision = decide(log, limit=limit, now=START)

    assert decision.free == max(0, count - sum(stamp > START - limit.window for stamp in log))
    assert decide(log, limit=limit, now=decision.next_free).free >= 1
    if decision.next_free > START:
        a_moment_before = decision.next_free - timedelta(microseconds=1)
        assert decide(log, limit=limit, now=a_moment_before).free == 0


def test_a_window_is_half_open() -> None:
    limit = Limit(count=1, seconds=1)
    assert decide([START], limit=limit, now=START + limit.window).free == 1
    assert decide([START], limit=limit, now=START + limit.window - timedelta(microseconds=1)).free == 0


def test_the_window_is_lengthened_by_250_ms_but_at_most_one_percent() -> None:
    assert Limit(count=10, seconds=60).window == timedelta(seconds=60.25)
    assert Limit(count=10, seconds=2).window == timedelta(seconds=2.02)


def test_a_refused_recipient_lets_the_next_message_go() -> None:
    log = Log({UUID(int=1): [at(-1)]})
    first, second = Candidate(UUID(int=7), UUID(int=1)), Candidate(UUID(int=8), UUID(int=2))

    admission = admit(
        [first, second], log=log, account=ROOMY, recipient=Limit(1, 10), stamp=at(15), now=at(0)
    )

    assert admission.granted == (second.message_id,)
    assert admission.refused == {first.message_id: at(-1) + Limit(1, 10).window}


def test_once_the_account_has_no_slot_nobody_is_refused_by_name() -> None:
    candidates = [Candidate(UUID(int=number), UUID(int=number)) for number in range(3)]

    admission = admit(candidates, log=Log(), account=Limit(2, 60), recipient=ROOMY, stamp=at(15), now=at(0))

    assert admission.granted == (UUID(int=0), UUID(int=1))
    assert admission.refused == {}
    assert admission.next_free == at(15) + Limit(2, 60).window
