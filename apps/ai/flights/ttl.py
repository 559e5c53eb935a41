"""For how long an answer stands in for a new one, by kind of task. Pure.

`fresh`: whoever asks the same again gets the kept answer, at no cost. `stale`: optional work that nobody can
do now gets it, labelled with its age. Who wants another answer at once says `fresh: true`, which no age
overrides.

Every kind is cached, messages to fans too: the fan, the campaign and the plan are part of the question, so
whoever would get the kept text is the one for whom it was written, and what repeats the question within
minutes is a retry, a second click or a step that ran twice. None of them should pay, or change a text that
somebody has just read in a preview. How long differs by what a person expects who asks again on purpose.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class Ttl:
    """How old an answer may be: `fresh` to be given instead of a new one, `stale` to be given at all.

    With `fresh` zero it is never given instead of a new one; with both zero it isn't kept.
    """

    fresh: timedelta
    stale: timedelta

    def __post_init__(self) -> None:
        if not timedelta() <= self.fresh <= self.stale:
            raise ValueError(f"fresh must lie between nothing and stale, and {self.fresh} doesn't")


NOT_CACHED = Ttl(timedelta(), timedelta())

_DAY = timedelta(days=1)

TTLS: Mapping[str, Ttl] = {
    # Dear, and the same brief gets the same plan for as long as somebody works on the campaign.
    "planning": Ttl(timedelta(hours=1), _DAY),
    "multi_platform": Ttl(timedelta(hours=1), _DAY),
    # A step that runs again; later a fan has done something else, and an old text may no longer be true.
    "message": Ttl(timedelta(minutes=10), timedelta(hours=1)),
    # A fan who says the same an hour later should not hear the same.
    "quick_reply": Ttl(timedelta(minutes=1), timedelta(minutes=10)),
    # Whoever asks again after a while wants others; old ones are better than none.
    "idea": Ttl(timedelta(minutes=5), _DAY),
    "caption": Ttl(timedelta(minutes=5), _DAY),
    # The same text has the same vector for as long as the model does; only memory is a reason to forget it.
    "embedding": Ttl(7 * _DAY, 7 * _DAY),
    # It is asked again to see what another model says now.
    "replay": NOT_CACHED,
}
