"""Which platforms can be reached."""

from django.conf import settings

from apps.messaging.gateways.base import Gateway
from apps.messaging.gateways.onlyfans import OnlyFansGateway
from apps.messaging.models import Platform


def connected_platforms() -> dict[str, Gateway]:
    """The gateway of every platform that has an address in the settings; the others' messages wait."""
    gateways: dict[str, Gateway] = {}
    if settings.ONLYFANS_API_URL:
        gateways[Platform.ONLYFANS] = OnlyFansGateway(
            base=settings.ONLYFANS_API_URL, user_agent=settings.ONLYFANS_USER_AGENT
        )
    return gateways
