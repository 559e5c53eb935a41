"""Making, changing and deleting targets, for the admin and the API alike."""

from collections.abc import Collection
from dataclasses import dataclass

from django.core.exceptions import NON_FIELD_ERRORS, ImproperlyConfigured, ValidationError
from django.db import IntegrityError, transaction

from apps.common.constraints import violated
from apps.common.errors import ConflictError, InvalidInputError
from apps.notifications.channels.webhook import make_signing_key
from apps.notifications.models import Channel, DeliveryState, NotificationTarget
from apps.notifications.services.deliveries import OPEN
from apps.notifications.services.targets import REMOVED

ALREADY_THERE = "There is a target of this channel and name already."
_SECRETS = {"url", "signing_key"}


@dataclass(frozen=True, slots=True)
class SavedTarget:
    """A target as it is kept, and the signing key that was made for it, to be shown once."""

    target: NotificationTarget
    made_key: str | None


def save_target(*, target: NotificationTarget, columns: Collection[str] | None = None) -> SavedTarget:
    """Write a target, or of one that is there the columns that were changed, in the caller's transaction.

    A webhook for which nobody chose a signing key gets one. The caller has checked the URL's place. Raises
    InvalidInputError, and ConflictError for a name that another one of the channel has, or secrets that can't
    be read.
    """
    try:
        made = prepare(target)
        target.clean_fields(exclude=_SECRETS)
        target.clean()
        # Of a name, the database says whether there is one already, however many come at once.
        target.validate_constraints(exclude={"name", *_SECRETS})
    except ValidationError as error:
        raise _refusal(error) from error
    except ImproperlyConfigured as error:
        raise ConflictError(str(error)) from error
    written = None if columns is None else {*columns, *(["signing_key"] if made else [])}
    try:
        with transaction.atomic():
            target.save(update_fields=written)
    except IntegrityError as error:
        if violated(error) != "target_unique":
            raise
        raise ConflictError(ALREADY_THERE, fields={"name": ALREADY_THERE}) from error
    return SavedTarget(target, made)


def delete_target(*, target: NotificationTarget) -> None:
    """Send nothing there any more: what is on its way fails, and what was sent stays listed.

    In the caller's transaction. What is being sent at this moment may arrive all the same, and then says so.
    """
    # Waits for those who raise an alert for it just now.
    NotificationTarget.objects.select_for_update().filter(pk=target.pk).values("pk").first()
    target.deliveries.filter(state__in=OPEN).update(
        state=DeliveryState.FAILED, lease_expires_at=None, error=REMOVED
    )
    target.delete()


def prepare(target: NotificationTarget) -> str | None:
    """Give a webhook its signing key where nobody chose one: the new key."""
    if target.channel != Channel.WEBHOOK or target.signing_key:
        return None
    target.signing_key = make_signing_key()
    return target.signing_key


def _refusal(error: ValidationError) -> InvalidInputError:
    # The one that names no field is about the address: that e-mail needs one, and nothing else has one.
    fields = {
        "address" if name == NON_FIELD_ERRORS else name: " ".join(texts)
        for name, texts in error.message_dict.items()
    }
    return InvalidInputError(next(iter(fields.values())), fields=fields)
