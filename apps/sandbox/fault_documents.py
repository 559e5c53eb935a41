"""Read fault documents: strictly, so that a misspelt fault is an error and not a quiet test.

The first rule that matches a request and isn't used up decides about it. Every name is optional::

    {"seed": 1, "rules": [{
        "provider": "azure", "model": "gpt-4o",                      (AI: whom it strikes)
        "operation": "send", "account": "a1", "recipient": "f1",     (gateway: whom; send or lookup)
        "count": 3,                          the next three requests only
        "latency": {"distribution": "lognormal", "median_ms": 200, "sigma": 0.5},
        "error_rates": {"500": 0.1, "429": 0.05}, "retry_after": 2,
        "retry_after_ms": 1500,              instead of it; in a header of its own beside the usual one
        "retry_after_form": "date",          or none; seconds by default
        "hang": 0.01,                        never answered, nothing accepted
        "cut_before": 0.01,                  connection dropped, nothing accepted
        "cut_after": 0.01,                   accepted, then the connection is dropped
        "malformed": 0.01,                   accepted, then answered with broken JSON
        "content_filter": 0.01,              (AI: the prompt at Azure, the whole answer at OpenAI)
        "stream_gap_ms": 20                  (AI: between the events of a stream)
    }]}

More of the AI's effects, in the same form. Refused, nothing billed::

    reset             connection reset before any answer
    quota             429, out of credit
    context_length    400, prompt and answer don't fit the model
    no_format         400, the model can't be held to a schema

Answered and billed; “half” is half of the body, or of a stream's events::

    cut_within        half, and a piece of what follows, then the connection is dropped
    stall             half, then silence
    ends_early        half, then the end as if that were all
    trickle           a few bytes at a time, `stream_gap_ms` apart
    error_event       a stream's half, then an event that says what went wrong; else a plain 500
    answer_filter     half of the text, then the filter stops it
    no_choices        an answer without any
    no_usage          nothing is said of usage

Other distributions: constant (ms), uniform (min_ms, max_ms), exponential (mean_ms). A document of the
gateway's may also hold::

    "honour_keys": false,                    a key accepted before is accepted again, as a new delivery
    "lookup": "absent_404",                  or absent_405, absent_501; truthful by default
    "revoked_accounts": ["a1"],              their credential is answered 401
    "enforce_limit": {"count": 10, "seconds": 60}    deliveries per account; beyond it 429
"""

import math
from collections.abc import Mapping
from typing import Any

from apps.sandbox.faults import PARAMETERS, Distribution, Effect, FaultPlan, Latency, Rule
from apps.sandbox.retry_after import Form, RetryAfter

_RETRY_AFTER = ("retry_after", "retry_after_ms", "retry_after_form")


class FaultDocumentError(ValueError):
    """The document isn't one; the message names the place and what would be right."""


def read_plan(
    document: Mapping[str, Any], *, selectors: Mapping[str, tuple[str, ...]], effects: tuple[Effect, ...]
) -> FaultPlan:
    """The rules of a document `{"seed": 1, "rules": [{…}]}`.

    `selectors` names the facts that a rule may select by, each with the values allowed (none given: any
    text); `effects` the effects that the server knows. Raises FaultDocumentError.
    """
    seed = document.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise FaultDocumentError("seed: must be a whole number")
    rules = document.get("rules", [])
    if not isinstance(rules, list):
        raise FaultDocumentError("rules: must be a list of objects")
    return FaultPlan(
        tuple(_rule(rule, f"rules[{index}]", selectors, effects) for index, rule in enumerate(rules)),
        seed=seed,
    )


def read_object(value: object, place: str, allowed: tuple[str, ...]) -> dict[str, Any]:
    """`value`, if it is an object with no other names than those allowed. Raises FaultDocumentError."""
    if not isinstance(value, dict):
        raise FaultDocumentError(f"{place}: must be an object")
    for name in value:
        if name not in allowed:
            raise FaultDocumentError(f"{place}: unknown name {name!r}; known are {', '.join(allowed)}")
    return value


def read_number(value: object, place: str, *, most: float = math.inf) -> float:
    """`value`, if it is a finite number from 0 to `most`. Raises FaultDocumentError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise FaultDocumentError(f"{place}: must be a number")
    if not 0 <= value <= most:
        raise FaultDocumentError(
            f"{place}: must be {'at least 0' if math.isinf(most) else f'from 0 to {most:g}'}"
        )
    return float(value)


def read_count(value: object, place: str, *, least: int = 1) -> int:
    """`value`, if it is a whole number of at least `least`. Raises FaultDocumentError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise FaultDocumentError(f"{place}: must be a whole number of at least {least}")
    return value


def _rule(
    value: object, place: str, selectors: Mapping[str, tuple[str, ...]], effects: tuple[Effect, ...]
) -> Rule:
    names = (*selectors, "latency", "error_rates", *_RETRY_AFTER, *effects, "stream_gap_ms", "count")
    fields = read_object(value, place, names)
    errors = _error_rates(fields.get("error_rates", {}), f"{place}.error_rates")
    rates = {
        effect: read_number(fields[effect], f"{place}.{effect}", most=1)
        for effect in effects
        if effect in fields
    }
    if sum(errors.values()) + sum(rates.values()) > 1 + 1e-9:
        raise FaultDocumentError(f"{place}: its rates exclude each other and must add up to at most 1")
    return Rule(
        selectors={
            name: _selector(fields[name], f"{place}.{name}", selectors[name])
            for name in selectors
            if name in fields
        },
        latency=_latency(fields["latency"], f"{place}.latency") if "latency" in fields else None,
        error_rates=errors,
        effect_rates=rates,
        retry_after=_retry_after(fields, place),
        stream_gap_ms=read_number(fields.get("stream_gap_ms", 0), f"{place}.stream_gap_ms"),
        count=read_count(fields["count"], f"{place}.count") if "count" in fields else None,
    )


def _selector(value: object, place: str, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str) or not value:
        raise FaultDocumentError(f"{place}: must be a text")
    if allowed and value not in allowed:
        raise FaultDocumentError(f"{place}: must be one of {', '.join(allowed)}")
    return value


def _retry_after(fields: Mapping[str, Any], place: str) -> RetryAfter:
    def whole(name: str) -> int | None:
        return read_count(fields[name], f"{place}.{name}", least=0) if name in fields else None

    form = fields.get("retry_after_form", Form.SECONDS)
    if form not in tuple(Form):
        raise FaultDocumentError(f"{place}.retry_after_form: must be one of {', '.join(Form)}")
    return RetryAfter(seconds=whole("retry_after"), milliseconds=whole("retry_after_ms"), form=Form(form))


def _error_rates(value: object, place: str) -> dict[int, float]:
    if not isinstance(value, dict):
        raise FaultDocumentError(f'{place}: must be an object like {{"500": 0.1}}')
    rates = {}
    for status, rate in value.items():
        if not (len(status) == 3 and status.isdecimal() and 400 <= int(status) <= 599):
            raise FaultDocumentError(f"{place}: {status!r} is no status from 400 to 599")
        rates[int(status)] = read_number(rate, f"{place}.{status}", most=1)
    return rates


def _latency(value: object, place: str) -> Latency:
    if not isinstance(value, dict) or value.get("distribution") not in set(Distribution):
        raise FaultDocumentError(f"{place}.distribution: must be one of {', '.join(Distribution)}")
    distribution = Distribution(value["distribution"])
    needed = PARAMETERS[distribution]
    fields = read_object(value, place, ("distribution", *needed))
    for name in needed:
        if name not in fields:
            raise FaultDocumentError(f"{place}: {distribution} needs {' and '.join(needed)}")
    parameters = {name: read_number(fields[name], f"{place}.{name}") for name in needed}
    if distribution is Distribution.UNIFORM and parameters["min_ms"] > parameters["max_ms"]:
        raise FaultDocumentError(f"{place}: min_ms must not exceed max_ms")
    return Latency(distribution=distribution, parameters=parameters)
