"""What an operator is told besides, when something has been done."""

from collections.abc import Sequence


def on_their_way(number: int) -> str:
    """How many messages a pause or a cancellation came too late for."""
    if not number:
        return ""
    return (
        f"{number:,} messages are on their way already."
        if number > 1
        else "One message is on its way already."
    )


def in_flight(results: Sequence[int]) -> str:
    return on_their_way(sum(results))
