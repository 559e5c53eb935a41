"""EMAIL_URL, as the options of Django's SMTP connection, and the addresses of COST_ALERT_EMAIL."""

from typing import Any
from urllib.parse import unquote, urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from huntaze.places import StartError

# Scheme: usual port, STARTTLS, encrypted from the first byte.
_SCHEMES = {
    "smtp": (25, False, False),
    "submission": (587, True, False),
    "smtp+tls": (587, True, False),
    "smtps": (465, False, True),
    "smtp+ssl": (465, False, True),
}


def server(url: str) -> dict[str, Any] | None:
    """None where no URL is given. Raises StartError, which repeats nothing of the password."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        parts, port, host = urlsplit(""), None, None
    if parts.scheme not in _SCHEMES or not host:
        names = ", ".join(_SCHEMES)
        raise StartError(f"EMAIL_URL must be like submission://user:password@host:587, with one of {names}")
    usual, starttls, encrypted = _SCHEMES[parts.scheme]
    return {
        "host": host,
        "port": port or usual,
        "username": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "use_tls": starttls,
        "use_ssl": encrypted,
    }


def addresses(text: str) -> list[str]:
    """Those between the commas. Raises StartError: nobody would hear of a mail to what is none."""
    found = [each.strip() for each in text.split(",") if each.strip()]
    for each in found:
        try:
            validate_email(each)
        except ValidationError:
            raise StartError(
                f"COST_ALERT_EMAIL must be e-mail addresses with commas between them, which {each!r} isn't"
            ) from None
    return found
