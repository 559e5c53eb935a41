"""The fallback matrix: complete, as the docs and the admin show it."""

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse

from apps.ai.matrix import HEADERS, MATRIX, Action, Counts, Refusal, counts, table
from apps.ai.providers.outcomes import FailureKind
from tests import factories

DOCS = Path(__file__).parents[2] / "docs" / "orchestrator.md"


def test_every_kind_of_failure_has_a_row() -> None:
    assert set(MATRIX) == {*FailureKind, *Refusal}


@pytest.mark.parametrize("kind", MATRIX)
def test_every_row_ends_with_stop_and_says_why(kind: str) -> None:
    row = MATRIX[kind]
    actions = [step.action for step in row.steps]
    assert actions.index(Action.STOP) == len(actions) - 1
    assert row.why.endswith(".")
    # Each action at most once with a limit, and then perhaps once more without: so `next_step` counts.
    for limited in (True, False):
        steps = [step for step in row.steps if not step.unless_awaited]
        found = [step.action for step in steps if (step.most is not None) is limited]
        assert len(found) == len(set(found))


def test_only_what_the_request_itself_causes_is_shared_with_joiners() -> None:
    inherent = {kind for kind, row in MATRIX.items() if row.inherent}
    assert inherent == {"context_too_long", "content_filtered", "bad_request"}


def test_the_breaker_counts_lost_connections_5xx_and_timeouts_alone() -> None:
    failures = {kind for kind, row in MATRIX.items() if row.counts is Counts.FAILURE}
    assert failures == {"connection", "server_error", "timeout"}
    assert counts(FailureKind.RATE_LIMITED) is Counts.COOL_DOWN
    assert {kind for kind, row in MATRIX.items() if row.disables} == {"auth"}


def test_a_timeout_that_is_shorter_than_the_deployments_own_counts_as_such() -> None:
    assert counts(FailureKind.TIMEOUT) is Counts.FAILURE
    assert counts(FailureKind.TIMEOUT, cut_short=True) is Counts.SHORT_TIMEOUT
    assert counts(FailureKind.CONNECTION, cut_short=True) is Counts.FAILURE


def test_the_docs_have_the_same_table() -> None:
    section = DOCS.read_text().split("## Fallback matrix")[1].split("\n## ")[0]
    lines = [line.strip("|") for line in section.splitlines() if line.startswith("|")]
    documented = [tuple(cell.strip() for cell in line.split("|")) for line in lines]
    assert documented[0] == HEADERS
    assert documented[2:] == table()


@pytest.mark.django_db
def test_the_admin_shows_it(client: Client) -> None:
    url = reverse("admin:ai_matrix")
    assert client.get(url).status_code == 302
    client.force_login(factories.user(is_staff=True))
    assert client.get(url).status_code == 403
    client.force_login(factories.user(is_staff=True, is_superuser=True))

    page = client.get(url)

    text = page.content.decode()
    assert page.status_code == 200
    assert "retry here, once → other deployment, another provider&#x27;s first" in text
    assert "Filters differ" in text
    assert reverse("admin:ai_routingpreference_changelist") in text
