"""What an operator sees of deployments, questions and prompts, and does to them, in the admin."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.ai.models import Deployment, Generation, GenerationState, PromptTemplate, Source
from apps.ai.routing import Candidate
from apps.ai.services import deployments as services
from apps.common.ids import uuid7
from apps.tenants.models import Tenant, User
from apps.tenants.system import system_transaction
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def operator(db: None) -> User:
    return factories.user(email="ada@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(operator: User, client: Client) -> Client:
    client.force_login(operator)
    return client


def page(model: str, name: str, *args: Any) -> str:
    return reverse(f"admin:ai_{model}_{name}", args=args)


def text(browser: Client, url: str, **query: str) -> str:
    answer = browser.get(url, query)
    assert answer.status_code == 200
    return " ".join(answer.content.decode().split())


def prompt(version: int = 1, **fields: Any) -> PromptTemplate:
    fields = {"key": "greeting", "task_kind": "idea", "body": "Say hello to {{ input }}.", **fields}
    with system_transaction():
        return PromptTemplate.objects.create(version=version, **fields)


def generation(tenant: Tenant, asked_with: PromptTemplate, **fields: Any) -> Generation:
    ended = {"state": GenerationState.SUCCEEDED, "finished_at": timezone.now()}
    fields = {"variables": {"input": "Mia"}, **ended, **fields}
    with system_transaction():
        return Generation.objects.create(
            tenant_id=tenant.pk,
            task_kind="idea",
            prompt=asked_with,
            max_tokens=10,
            **fields,
        )


@pytest.mark.parametrize(
    ("state", "said"),
    [("pending", "no deployment could be called"), ("running", "Somebody works on it, until")],
)
def test_a_question_that_is_not_over_says_what_it_waits_for(
    browser: Client, agency: Tenant, state: str, said: str
) -> None:
    row = generation(agency, prompt(), state=state, finished_at=None, lease_expires_at=timezone.now())
    assert said in text(browser, page("generation", "change", row.pk))


def form_of(deployment: Deployment, **changes: str) -> dict[str, str]:
    return {
        "name": deployment.name,
        "provider": deployment.provider,
        "model": deployment.model,
        "model_class": deployment.model_class,
        "azure_deployment": "",
        "weight": "100",
        "attempt_timeout": "00:01:00",
        "context_tokens": "",
        "breaker_changes-TOTAL_FORMS": "0",
        "breaker_changes-INITIAL_FORMS": "0",
        **changes,
    }


def save(browser: Client, deployment: Deployment, **changes: str) -> Deployment:
    answer = browser.post(page("deployment", "change", deployment.pk), form_of(deployment, **changes))
    assert answer.status_code == 302
    deployment.refresh_from_db()
    return deployment


def test_a_disabled_deployment_says_why_until_somebody_enables_it(browser: Client, agency: Tenant) -> None:
    deployment = factories.deployment(name="azure")
    candidate = Candidate(deployment.pk, "azure", "azure", "gpt-4o", "advanced", "gpt-4o")
    services.disable(candidate, reason="no credit", tenant_id=agency.pk, now=timezone.now())
    assert "disabled by a refusal" in text(browser, page("deployment", "changelist"))
    assert "no credit" in text(browser, page("deployment", "change", deployment.pk))

    assert "no credit" in save(browser, deployment, weight="50").disabled_reason

    deployment = save(browser, deployment, enabled="on")
    assert (deployment.enabled, deployment.disabled_reason) == (True, "")


def test_the_context_of_a_deployment_is_set(browser: Client) -> None:
    assert save(browser, factories.deployment(), context_tokens="128000").context_tokens == 128_000


def test_a_generations_page_tells_how_its_answer_was_found(browser: Client, agency: Tenant) -> None:
    other = uuid7()
    explain = [
        {"deployment": "azure", "place": 1, "reason": "the task's class"},
        {"deployment": "small", "passed_over": "no price"},
        {"attempt": 1, "deployment": "azure", "outcome": "server_error", "message": "<b>503</b>"},
        {"answered_by": str(other), "reason": "the same question was answered 7 s ago"},
        {"deployment": "later", "colour": "blue"},
    ]
    row = generation(
        agency,
        prompt(),
        explain=explain,
        source=Source.STALE,
        fresh=True,
        joined_id=other,
        age=timedelta(seconds=7),
        latency=timedelta(seconds=90),
    )

    shown = text(browser, page("generation", "change", row.pk))

    for words in ("place 1", "the task&#x27;s class", "passed over", "no price", "attempt 1", "server error"):
        assert words in shown
    assert "&lt;b&gt;503&lt;/b&gt;" in shown
    assert "colour: blue" in shown
    assert shown.count(page("generation", "change", other)) == 2
    assert "1 min 30 s" in shown
    assert "&quot;passed_over&quot;" not in shown


def test_what_else_an_answer_was_given_to_is_a_click_away(browser: Client, agency: Tenant) -> None:
    asked_with = prompt()
    leader = generation(agency, asked_with)
    joiner, stranger = (generation(agency, asked_with, joined_id=each) for each in (leader.pk, uuid7()))
    url = page("generation", "changelist")

    assert f"{url}?joined_id={leader.pk}" in text(browser, page("generation", "change", leader.pk))

    shown = text(browser, url, joined_id=str(leader.pk))
    assert str(joiner.pk) in shown
    assert str(stranger.pk) not in shown
    assert str(joiner.pk) in text(browser, url, q=str(leader.pk))


def test_a_prompt_is_shown_as_the_newest_question_with_its_key_would_put_it(
    browser: Client, agency: Tenant
) -> None:
    first = prompt(system="Be kind.", is_active=True)
    second = prompt(2, body="Greet {{ input }} & friends.", fallback="Hello {{ input }}!")
    older = generation(agency, first, variables={"input": "Grace"})
    newest = generation(agency, first)
    generation(agency, prompt(key="other"), variables={"input": "Eve"})

    shown = text(browser, page("prompttemplate", "change", second.pk))
    assert "Greet Mia &amp; friends." in shown
    assert "Hello Mia!" in shown
    assert page("generation", "change", newest.pk) in shown
    assert "To roll back, activate an older" in shown

    url = page("prompttemplate", "change", first.pk)
    assert f"{url}?generation={older.pk}" in text(browser, page("generation", "change", older.pk))
    shown = text(browser, url, generation=str(older.pk))
    assert "Say hello to Grace." in shown
    assert "Be kind." in shown


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"body": "{{ nobody }}"}, "nobody"),
        ({"system": "{% if %}"}, "missing expression"),
        ({"fallback": "{{ input }}", "output_schema": {"type": "object"}}, "must be one JSON object"),
    ],
)
def test_a_prompt_that_can_not_be_put_says_why(
    fields: dict[str, Any], problem: str, browser: Client, agency: Tenant
) -> None:
    row = prompt(**fields)
    generation(agency, row)

    shown = text(browser, page("prompttemplate", "change", row.pk))

    preview = shown[shown.index("What this version makes of") :]
    assert problem in preview
    assert "Activate" in shown


@pytest.mark.parametrize("asked_for", ["", "nonsense", "01990a0b-1c2d-7000-8000-000000000000"])
def test_without_a_question_there_is_nothing_to_fill_in(asked_for: str, browser: Client) -> None:
    row = prompt()

    shown = text(browser, page("prompttemplate", "change", row.pk), generation=asked_for)

    assert "there is nothing to fill in" in shown


def test_a_version_is_added_with_words_for_when_nobody_answers(browser: Client) -> None:
    form = {"key": "greeting", "version": "1", "task_kind": "idea", "max_tokens": "10", "body": "Hello"}

    browser.post(page("prompttemplate", "add"), {**form, "fallback": "Soon."})

    assert PromptTemplate.objects.get(key="greeting").fallback == "Soon."


BROKEN = [
    ("system", "{% if %}", "missing expression"),
    ("body", "{{ input ", "expected &#x27;}}&#x27;"),
    ("body", "{{ input | replace: 'a', 'b' }}", "unknown filter “replace”"),
    ("fallback", "{% if input %}Soon.", "endif"),
]


@pytest.mark.parametrize(("field", "template", "problem"), BROKEN)
def test_a_version_that_nobody_could_be_asked_with_is_not_added(
    field: str, template: str, problem: str, browser: Client
) -> None:
    form = {"key": "greeting", "version": "1", "task_kind": "idea", "max_tokens": "10", "body": "Hello"}

    answer = browser.post(page("prompttemplate", "add"), {**form, field: template})

    assert answer.status_code == 200
    assert list(answer.context["adminform"].errors) == [field]
    assert problem in str(answer.context["adminform"].errors[field])
    assert not PromptTemplate.objects.filter(key="greeting").exists()


@pytest.mark.parametrize(("field", "template", "problem"), BROKEN)
def test_a_stored_version_that_nobody_could_be_asked_with_is_not_activated(
    field: str, template: str, problem: str, browser: Client
) -> None:
    present, broken = prompt(is_active=True), prompt(2, **{field: template})

    chosen = {"action": "activate", "_selected_action": [str(broken.pk)]}
    answer = browser.post(page("prompttemplate", "changelist"), chosen, follow=True)

    said = answer.content.decode()
    assert f"greeting v2 can&#x27;t be filled in ({field}: " in said
    assert problem in said
    assert PromptTemplate.objects.get(key="greeting", is_active=True) == present


def test_a_preview_and_the_joiners_are_found_by_an_index(browser: Client, agency: Tenant) -> None:
    asked_with = prompt()
    leader = generation(agency, asked_with)
    with CaptureQueriesContext(connection) as preview:
        browser.get(page("prompttemplate", "change", asked_with.pk))
    with CaptureQueriesContext(connection) as list_:
        browser.get(page("generation", "changelist"), {"joined_id": str(leader.pk)})

    in_prompts = r"using generation_by_prompt.*\n\s*Index Cond: \(prompt_id = "
    assert re.search(in_prompts, plans(preview, 'U0."prompt_id" = '))
    in_joined = r"using generation_by_joined.*\n\s*Index Cond: \(joined_id = "
    assert re.search(in_joined, plans(list_, '"joined_id" = '))


def plans(captured: CaptureQueriesContext, words: str) -> str:
    """How the statements with these words are planned where scans of the whole table are the last resort."""
    found = [
        each["sql"] for each in captured if words in each["sql"] and 'FROM "ai_generation"' in each["sql"]
    ]
    assert found
    with system_transaction(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_sort = off")
        said = []
        for statement in found:
            cursor.execute("EXPLAIN " + statement)
            said += [line for (line,) in cursor.fetchall()]
    return "\n".join(said)
