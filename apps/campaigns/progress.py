"""How far a campaign has come, as one number."""

from dataclasses import dataclass

# Writing is quick and sending is slow, so most of the bar belongs to sending.
PLANNED, WRITTEN = 0.0625, 0.1875  # sums of powers of two: exact, so that the bar never falls


@dataclass(frozen=True)
class Work:
    """Texts asked for and ready; messages in the outbox and those that have come to their end."""

    texts: int
    texts_ready: int
    messages: int
    messages_ended: int


def progress(status: str, work: Work) -> float:
    """0 to 1, never falling as a campaign goes on; a cancelled or failed one stays where it was."""
    if status == "finished":
        return 1.0
    if work.messages:
        return WRITTEN + (1 - WRITTEN) * work.messages_ended / work.messages
    if work.texts:
        return PLANNED + (WRITTEN - PLANNED) * work.texts_ready / work.texts
    return 0.0 if status == "planning" else PLANNED
