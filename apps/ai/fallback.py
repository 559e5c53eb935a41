"""The way through the matrix, failure by failure, until a question is answered or given up. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from apps.ai.matrix import MATRIX, Action, Step, Where
from apps.ai.routing import Candidate, Costs

_STOP = Step(Action.STOP)


def next_step(
    kind: str, already_done: Iterable[Action], *, impossible: Collection[Action] = (), awaited: bool = False
) -> Step:
    """What to do about a failure now: the first step that isn't used up and is possible.

    `already_done` are the actions at this deployment, and each move to another one that this kind has caused.
    `impossible` are those for which time, attempts, deployments or text are lacking. `awaited`: somebody
    waits for the answer.
    """
    done = Counter(already_done)
    for step in MATRIX[kind].steps:
        if step.action is Action.STOP:
            break
        if step.action in impossible or (awaited and step.unless_awaited):
            continue
        if step.most is None or done[step.action] < step.most:
            return step
    return _STOP


class Progress:
    """What was done about one question's failures so far, as `next_step` asks for it."""

    def __init__(self, *, awaited: bool = False) -> None:
        self._awaited = awaited
        self._here: list[Action] = []
        self._moves: Counter[str] = Counter()

    def next(self, kind: str, *, impossible: Collection[Action] = ()) -> Step:
        """What to do now; it counts as done from then on."""
        moves = [Action.OTHER_DEPLOYMENT] * self._moves[kind]
        step = next_step(kind, [*self._here, *moves], impossible=impossible, awaited=self._awaited)
        if step.action is Action.OTHER_DEPLOYMENT:
            self._moves[kind] += 1
            self._here.clear()
        else:
            self._here.append(step.action)
        return step


def successors(
    where: Where,
    *,
    present: Candidate,
    rest: Sequence[Candidate],
    costs: Costs | None = None,
    others_are_free: bool = False,
) -> list[Candidate]:
    """Those of the rest that come into question after the present one, best first.

    `others_are_free`: the budget that is in the way counts the present one's provider alone.
    """
    if where is Where.OTHER_PROVIDER:
        return [each for each in rest if each.provider != present.provider]
    if where is Where.OTHER_PROVIDER_FIRST:
        return sorted(rest, key=lambda each: each.provider == present.provider)
    if where is Where.LARGER_CONTEXT:
        larger = [each for each in rest if _may_be_larger(each, than=present)]
        return sorted(larger, key=lambda each: each.context_tokens is None)
    if where is Where.CHEAPER and costs is not None:
        others = [each for each in rest if others_are_free and each.provider != present.provider]
        return others + [each for each in _cheaper(present, rest, costs) if each not in others]
    return list(rest)


def _may_be_larger(each: Candidate, *, than: Candidate) -> bool:
    if each.context_tokens is None or than.context_tokens is None:
        return True
    return each.context_tokens > than.context_tokens


def _cheaper(present: Candidate, rest: Sequence[Candidate], costs: Costs) -> list[Candidate]:
    limit = costs.most(present.id)
    found = [(cost, each) for each in rest if (cost := costs.most(each.id)) is not None]
    cheaper = [(cost, each) for cost, each in found if limit is None or cost < limit]
    return [each for _cost, each in sorted(cheaper, key=lambda pair: pair[0])]
