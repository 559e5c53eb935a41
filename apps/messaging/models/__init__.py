from apps.messaging.models.accounts import Account, Fan, Platform, QuietZone
from apps.messaging.models.dispatch import (
    BreakerState,
    DispatchEpoch,
    DispatchWorker,
    Mode,
    PlatformState,
)
from apps.messaging.models.limits import Layer, SendBlock, SendLimit
from apps.messaging.models.messages import Message, MessageState
from apps.messaging.models.outboxes import MessageTemplate, Outbox
from apps.messaging.models.records import MessageRecord

__all__ = [
    "Account",
    "BreakerState",
    "DispatchEpoch",
    "DispatchWorker",
    "Fan",
    "Layer",
    "Message",
    "MessageRecord",
    "MessageState",
    "MessageTemplate",
    "Mode",
    "Outbox",
    "Platform",
    "PlatformState",
    "QuietZone",
    "SendBlock",
    "SendLimit",
]
