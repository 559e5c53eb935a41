"""Slack and webhooks, against HTTP servers that behave and some that don't."""

import json
import re
import socket
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from apps.notifications.channels import http, webhook
from apps.notifications.models import Channel, DeliveryState
from apps.tenants.models import Tenant
from tests.notifications.alerting import alert, delivery, send, target
from tests.notifications.receivers import Receiver
from tests.services import ROOT

pytestmark = pytest.mark.django_db(transaction=True)

BOTH = [Channel.SLACK, Channel.WEBHOOK]


def documented_check() -> Any:
    """The function that docs/alerts.md gives to whoever receives webhooks, run as it stands there."""
    text = (ROOT / "docs" / "alerts.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102
    return names["is_genuine"]


def test_slack_gets_words_in_which_nothing_calls_a_channel(slack: Receiver, agency: Tenant) -> None:
    target(agency, Channel.SLACK, f"{slack.url}/services/T0/B0/secret")
    alert(agency, message="<!channel> spent 5 > 4 & more\n*bold* 🎉", level="critical")

    send()

    (post,) = slack.posts
    assert post.path == "/services/T0/B0/secret"
    message = json.loads(post.body)
    assert message["text"].startswith(
        "[Huntaze] critical: &lt;!channel&gt; spent 5 &gt; 4 &amp; more *bold* 🎉"
    )
    header, section, context = message["blocks"]
    assert header["text"]["type"] == context["elements"][0]["type"] == "plain_text"
    assert section["text"]["verbatim"] is True
    assert "<!channel>" not in section["text"]["text"]
    assert "Ada's agency" in context["elements"][0]["text"]
    assert delivery().state == DeliveryState.SENT


def test_slack_takes_no_longer_texts_than_it_is_given(slack: Receiver, agency: Tenant) -> None:
    target(agency, Channel.SLACK, slack.url)
    alert(agency, message="&" * 5000)
    send()
    header, section, _ = json.loads(slack.posts[0].body)["blocks"]
    assert len(header["text"]["text"]) <= 150
    assert len(section["text"]["text"]) <= 3000


def test_a_webhook_is_signed_as_the_documentation_says(hook: Receiver, agency: Tenant) -> None:
    to = target(agency, Channel.WEBHOOK, f"{hook.url}/alerts?token=x")
    alert(agency, message="Naïve 🎉", data={"spent": "51.20"})

    send()

    (post,) = hook.posts
    is_genuine = documented_check()
    found = delivery()
    assert post.path == "/alerts?token=x"
    assert post.headers["webhook-id"] == str(found.envelope_id)
    assert is_genuine(to.signing_key, post.headers, post.body)
    assert not is_genuine(webhook.make_signing_key(), post.headers, post.body)
    assert not is_genuine(to.signing_key, post.headers, post.body + b" ")
    for name, other in [("webhook-id", "x"), ("webhook-timestamp", str(int(timezone.now().timestamp()) - 9))]:
        assert not is_genuine(to.signing_key, {**post.headers, name: other}, post.body)
    document = json.loads(post.body)
    assert (document["type"], document["agency"]) == ("alerts", "Ada's agency")
    assert document["alerts"][0]["message"] == "Naïve 🎉"
    assert document["alerts"][0]["data"] == {"spent": "51.20"}


def test_what_is_replayed_later_is_not_genuine(hook: Receiver, agency: Tenant) -> None:
    to = target(agency, Channel.WEBHOOK, hook.url)
    alert(agency)
    send()
    (post,) = hook.posts
    old = int(post.headers["webhook-timestamp"]) - 301
    found = delivery().envelope_id
    assert found is not None
    signature = webhook.sign(key=to.signing_key, message_id=found, timestamp=old, body=post.body)
    replayed = {**post.headers, "webhook-timestamp": str(old), "webhook-signature": signature}
    assert not documented_check()(to.signing_key, replayed, post.body)


@pytest.mark.parametrize("channel", BOTH)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_fails_at_once(channel: Channel, status: int, hook: Receiver, agency: Tenant) -> None:
    hook.answers = [(status, {}, b"no_service\x00 <b>")]
    target(agency, channel, hook.url)
    alert(agency)
    send()
    found = delivery()
    assert (found.state, found.attempts) == (DeliveryState.FAILED, 1)
    assert found.error == f"It answered {status}: no_service <b>"
    assert send(now=timezone.now() + timedelta(days=2)) == 0


@pytest.mark.parametrize("channel", BOTH)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(channel: Channel, status: int, hook: Receiver, agency: Tenant) -> None:
    hook.answers = [(status, {"Location": f"{hook.url}/elsewhere"}, b"")]
    target(agency, channel, hook.url)
    alert(agency)
    send()
    assert len(hook.posts) == 1
    found = delivery()
    assert found.state == DeliveryState.FAILED
    assert "Redirects are not followed" in found.error


@pytest.mark.parametrize("channel", BOTH)
@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_is_postponed_is_tried_again_with_the_same_id(
    channel: Channel, status: int, hook: Receiver, agency: Tenant
) -> None:
    hook.answers = [(status, {"Retry-After": "100"}, b"later"), (200, {}, b"ok")]
    target(agency, channel, hook.url)
    alert(agency)
    before = timezone.now()
    send()
    found = delivery()
    assert (found.state, found.interruptions) == (DeliveryState.PENDING, 0)
    assert found.due_at >= before + timedelta(seconds=100)
    assert send(now=found.due_at - timedelta(seconds=1)) == 0

    send(now=found.due_at)

    assert delivery().state == DeliveryState.SENT
    first, second = hook.posts
    assert first.headers.get("webhook-id") == second.headers.get("webhook-id")
    assert first.body == second.body


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7", 7), ("-1", None), ("soon", None), ("9" * 400, None), ("9" * 20, 86400), ("", None), ("1e3", None)],
)
def test_retry_after_is_read_as_far_as_it_can_be(said: str, seconds: int | None, hook: Receiver) -> None:
    hook.answers = [(429, {"Retry-After": said}, b"")]
    answer = http.post(hook.url, content=b"", headers={})
    assert isinstance(answer, http.Answer)
    assert answer.retry_after == (None if seconds is None else timedelta(seconds=seconds))


def test_retry_after_may_be_a_date(hook: Receiver) -> None:
    at = timezone.now() + timedelta(seconds=90)
    hook.answers = [(503, {"Retry-After": at.strftime("%a, %d %b %Y %H:%M:%S GMT")}, b"")]
    answer = http.post(hook.url, content=b"", headers={})
    assert isinstance(answer, http.Answer)
    assert answer.retry_after is not None
    assert timedelta(seconds=80) < answer.retry_after <= timedelta(seconds=90)


@pytest.mark.parametrize(
    ("channel", "interruptions"), [(Channel.WEBHOOK, 0), (Channel.SLACK, 1)], ids=["webhook", "slack"]
)
def test_an_answer_that_comes_too_late_may_mean_that_it_arrived(
    channel: Channel,
    interruptions: int,
    hook: Receiver,
    agency: Tenant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "TIMEOUT", timedelta(seconds=0.5))
    hook.answers, hook.trickle = [(200, {}, b"x" * 100)], 0.1
    target(agency, channel, hook.url)
    alert(agency)
    began = timezone.now()
    send()
    assert timezone.now() - began < timedelta(seconds=5)
    found = delivery()
    assert (found.state, found.interruptions) == (DeliveryState.PENDING, interruptions)
    assert "No answer within" in found.error


def test_nobody_there_is_tried_again(agency: Tenant) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        target(agency, Channel.SLACK, f"http://127.0.0.1:{closed.getsockname()[1]}")
        alert(agency)
        send()
    found = delivery()
    assert (found.state, found.interruptions) == (DeliveryState.PENDING, 0)
    assert found.error.startswith("No connection")


@pytest.mark.parametrize("channel", BOTH)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0"])
def test_our_own_network_is_out_of_bounds(
    channel: Channel, host: str, hook: Receiver, agency: Tenant, settings: Any
) -> None:
    settings.PRIVATE_TARGETS = False
    target(agency, channel, f"http://{host}:{hook.url.rpartition(':')[2]}/")
    alert(agency)
    send()
    found = delivery()
    assert (found.state, found.attempts) == (DeliveryState.FAILED, 1)
    assert "private network" in found.error
    assert hook.posts == []


def test_a_name_is_judged_by_all_its_addresses_and_not_looked_up_twice(
    hook: Receiver, agency: Tenant, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.PRIVATE_TARGETS = False
    found = [["93.184.216.34", "10.0.0.1"]]
    asked = []

    def look_up(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in found[0]]

    connected = []

    def connect(address: tuple[str, int], *_: Any, **__: Any) -> socket.socket:
        connected.append(address[0])
        raise OSError("not in a test")

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    monkeypatch.setattr("socket.create_connection", connect)
    assert "private network" in str(http.post("https://rebind.example/", content=b"", headers={}))
    assert connected == []
    found[0] = ["93.184.216.34"]
    http.post("https://rebind.example/", content=b"", headers={})
    assert connected == ["93.184.216.34"]
    assert asked == ["rebind.example"] * 2


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.1", "127.0.0.1", "169.254.169.254", "192.168.1.1", "172.16.0.1", "0.0.0.0", "100.64.0.1"),
        *(
            "224.0.0.1",
            "::1",
            "fe80::1%eth0",
            "fc00::1",
            "::ffff:10.0.0.1",
            "2002:7f00:1::",
            "64:ff9b::a00:1",
        ),
    ],
)
def test_an_address_that_is_not_the_internets_is_private(address: str) -> None:
    assert not http.is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert http.is_public(address)


@pytest.mark.parametrize(
    "url", ["ftp://example.com/", "http://", "nonsense", "http://exa mple/", "http://[/", "//x"]
)
def test_a_url_that_is_none_fails_at_once(url: str, agency: Tenant) -> None:
    target(agency, Channel.WEBHOOK, url)
    alert(agency)
    send()
    assert delivery().state == DeliveryState.FAILED
    assert "URL can't be right" in delivery().error
    assert url not in delivery().error


def test_a_proxy_of_the_environment_is_not_asked(
    hook: Receiver, agency: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    target(agency, Channel.WEBHOOK, hook.url)
    alert(agency)
    send()
    assert len(hook.posts) == 1


@pytest.mark.parametrize("key", ["", "whsec_", "whsec_AAAA", "secret", "whsec_ä", "whsec_" + "A" * 200])
def test_a_key_that_is_none_signs_nothing(key: str, hook: Receiver, agency: Tenant) -> None:
    with pytest.raises(ValueError, match="signing key"):
        webhook.read_signing_key(key)
