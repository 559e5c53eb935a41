"""Posting to a URL that somebody has entered: never to our own network, never on to another place.

The name is looked up once, every address that it has is judged, and the connection goes to one of these, so a
name that answers otherwise the second time gains nothing. Redirects are not followed, proxies not asked.
"""

import ipaddress
import math
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cache

import httpcore2
import httpx2
from django.conf import settings

from apps.common.punctual import Punctual, begin, limits, look_up
from apps.notifications.channels.base import Outcome, Postponed, Refused, Sent, Unknown

TIMEOUT = timedelta(seconds=10)
# Of an answer, as much as a person needs to see what was wrong.
_WORDS = 300
_MOST_RETRY_AFTER = timedelta(days=1)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_PORTS = {"http": 80, "https": 443}
_AGAIN = {408, 425, 429}
# As it stands after IDNA; more than DNS allows, since Docker's names have underscores.
_HOST = re.compile(r"[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*")


class ForbiddenAddressError(Exception):
    """The URL leads into a network that is nobody's business from outside."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    words: str
    retry_after: timedelta | None


def post(url: str, *, content: bytes, headers: Mapping[str, str]) -> Answer | Outcome:
    """The answer, or why there is none: Unknown if the request may have been read."""
    if problem := url_problem(url):
        return Refused(problem)
    try:
        with _client().stream(
            "POST", url, content=content, headers=headers, timeout=limits(TIMEOUT)
        ) as response:
            return Answer(response.status_code, _words(response), _retry_after(response))
    except ForbiddenAddressError as error:
        return Refused(str(error))
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout) as error:
        return Postponed(f"No connection: {error or 'timed out'}.")
    except httpx2.HTTPError as error:
        return Unknown(f"No answer within {TIMEOUT.total_seconds():.0f} s, or a cut one: {_kind(error)}.")


def url_problem(url: str) -> str:
    """Why nothing can be posted there, repeating nothing of it; empty if something can."""
    try:
        parsed = httpx2.URL(url)
        host = parsed.raw_host.decode("ascii")
    except (httpx2.InvalidURL, UnicodeError, ValueError):
        parsed, host = httpx2.URL(""), ""
    if parsed.scheme not in {"http", "https"} or not _HOST.fullmatch(host):
        return "The URL can't be right: give the whole of it, such as https://example.com/alerts."
    # Of others, the connection would be made to another one than was entered, or not at all.
    if parsed.port is not None and not 1 <= parsed.port <= 65535:
        return "The URL's port has to be from 1 to 65535."
    return ""


def place_problem(url: str) -> str:
    """The same, also where its name leads into a private network now; one that nobody knows may come to be.

    Asks the network, so no transaction is open meanwhile. What the name means later is judged at each POST.
    """
    if (problem := url_problem(url)) or settings.PRIVATE_TARGETS:
        return problem
    parsed = httpx2.URL(url)
    try:
        _judged(parsed.raw_host.decode("ascii"), parsed.port or _PORTS[parsed.scheme])
    except ForbiddenAddressError as error:
        return str(error)
    except httpcore2.ConnectError:
        pass
    return ""


def judge(answer: Answer) -> Outcome:
    """What a status means to whoever sent."""
    said = f"It answered {answer.status}" + (f": {answer.words}" if answer.words else ".")
    if 200 <= answer.status < 300:
        return Sent()
    if 300 <= answer.status < 400:
        return Refused(f"{said} Redirects are not followed: enter the URL that it leads to.")
    if answer.status in _AGAIN or answer.status >= 500:
        return Postponed(said, answer.retry_after)
    return Refused(said)


def _words(response: httpx2.Response) -> str:
    read = b""
    for piece in response.iter_bytes(_WORDS):
        read += piece
        if len(read) >= _WORDS:
            break
    return " ".join(read[:_WORDS].decode("utf-8", "replace").replace("\0", "").split())


def _retry_after(response: httpx2.Response) -> timedelta | None:
    said = response.headers.get("Retry-After", "").strip()
    try:
        seconds = float(said) if said.isascii() and said.isdigit() else _until(said)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(seconds):
        return None
    return timedelta(seconds=min(max(seconds, 0), _MOST_RETRY_AFTER.total_seconds()))


def _until(said: str) -> float:
    at = parsedate_to_datetime(said)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()


def _kind(error: httpx2.HTTPError) -> str:
    return type(error).__name__


# Threads that come first at the same time would make a client each, and all but one would be lost unclosed.
_making = threading.Lock()


def _client() -> httpx2.Client:
    with _making:
        return _made_client()


@cache
def _made_client() -> httpx2.Client:
    transport = httpx2.HTTPTransport(trust_env=False)
    transport._pool._network_backend = Punctual(transport._pool._network_backend, _judged)
    return httpx2.Client(
        transport=transport, trust_env=False, follow_redirects=False, event_hooks={"request": [begin]}
    )


def _judged(host: str, port: int) -> list[str]:
    """The addresses to connect to, and not the name, which may mean others by then."""
    addresses = look_up(host, port)
    if not settings.PRIVATE_TARGETS and not all(map(is_public, addresses)):
        raise ForbiddenAddressError(f"{host} is an address of a private network.")
    return addresses


def is_public(address: str) -> bool:
    """Whether anybody on the internet could be there, also where IPv6 wraps an address of version 4."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast
