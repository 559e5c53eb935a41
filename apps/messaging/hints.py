from tasks.base import hint_on_commit
from tasks.dispatch import sweep_messages


def hint_resumed() -> None:
    """Have the accounts of a resumed outbox, tenant or platform woken at once."""
    hint_on_commit(sweep_messages)
