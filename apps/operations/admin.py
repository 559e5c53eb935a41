from functools import partial

from django.contrib import admin, messages
from django.contrib.admin.models import LogEntry
from django.db import transaction
from django.http import HttpRequest
from kombu.exceptions import OperationalError
from unfold.decorators import display

from apps.common.admin.base import LongTableAdmin
from apps.common.admin.columns import EMPTY, Badge, RowLink, preformatted
from apps.common.admin.filters import MadeInFilter
from apps.common.admin.operations import Operation, Order
from apps.operations.models import DeadLetter, DeadLetterState, JobRun, RequestTally
from apps.operations.services import dead_letters
from huntaze.celery import app


def _replay(letter: DeadLetter, order: Order) -> None:
    dead_letters.resolve(letter=letter, state=DeadLetterState.REPLAYED, by=order.by, now=order.now)
    transaction.on_commit(partial(_send, order.request, letter))


def _discard(letter: DeadLetter, order: Order) -> None:
    dead_letters.resolve(letter=letter, state=DeadLetterState.DISCARDED, by=order.by, now=order.now)


def _send(request: HttpRequest, letter: DeadLetter) -> None:
    """Enqueue it; where the broker can't be reached, the letter is open again and says so."""
    try:
        app.send_task(letter.task, args=letter.args, kwargs=letter.kwargs)
    except OperationalError as error:
        dead_letters.reopen(letter=letter)
        messages.error(request, f"{letter.task} could not be enqueued and stays open: {error}")


@admin.register(DeadLetter)
class DeadLetterAdmin(LongTableAdmin):
    empty_hint = "No task has failed for good. One that exhausts its retries is kept here, to be replayed."
    list_display = [
        "task",
        Badge("state", "state"),
        "error",
        "queue",
        "attempts",
        "created_at",
        "resolved_at",
    ]
    list_filter = [MadeInFilter, "state", "queue", "task"]
    search_exact = ["task", "task_id"]
    search_help_text = "Task's name or id, or 8+ digits of the row"
    operations = [
        Operation(
            "replay",
            "Replay",
            "The task is sent again. That is safe: what is done already is not done twice.",
            _replay,
            "Replayed",
            icon="replay",
            when=lambda letter: letter.state == DeadLetterState.OPEN,
        ),
        Operation(
            "discard",
            "Discard",
            "The task stays undone.",
            _discard,
            "Discarded",
            icon="delete",
            danger=True,
            when=lambda letter: letter.state == DeadLetterState.OPEN,
        ),
    ]
    fieldsets = [
        (None, {"fields": ["task", ("queue", "attempts"), ("task_id", "created_at"), "args", "kwargs"]}),
        ("What happened", {"fields": ["error", "trace"]}),
        ("Handling", {"fields": [(Badge("state", "state"), "resolved_at", "resolved_by")]}),
    ]

    @display(description="traceback")
    def trace(self, letter: DeadLetter) -> str:
        return preformatted(letter.traceback)


@admin.register(JobRun)
class JobRunAdmin(LongTableAdmin):
    empty_hint = "Each period of a scheduled job leaves one row, once beat runs."
    list_display = ["job", "period_start", Badge("state", "state"), "attempts", "took", "error", "started_at"]
    list_filter = [MadeInFilter, "state", "job"]
    search_exact = ["job"]
    search_help_text = "Job"
    fieldsets = [
        (None, {"fields": [("job", "period_start"), (Badge("state", "state"), "attempts")]}),
        ("Run", {"fields": [("started_at", "finished_at", "lease_expires_at"), "error"]}),
    ]

    @display(description="took")
    def took(self, run: JobRun) -> str:
        if run.finished_at is None:
            return EMPTY
        return f"{(run.finished_at - run.started_at).total_seconds():.1f} s"


@admin.register(RequestTally)
class RequestTallyAdmin(LongTableAdmin):
    """The last hour; the rule api_error_rate looks at its last minutes."""

    empty_hint = "The web processes count the API's answers, and hand the counts over every few seconds."
    list_display = ["minute", "requests", "failed"]
    search_ids = []
    fieldsets = [(None, {"fields": ["minute", ("requests", "failed")]})]


@admin.register(LogEntry)
class LogEntryAdmin(LongTableAdmin):
    """Who changed what in this admin."""

    empty_hint = "Nobody has changed anything in this admin yet."
    list_display = ["action_time", RowLink("user", "user"), "what", "content_type", "object_repr"]
    list_filter = ["action_flag"]
    list_select_related = ["user", "content_type"]
    search_exact = ["object_id", "user__email"]
    search_ids = []
    search_help_text = "E-mail, or the whole id of a row"
    fieldsets = [(None, {"fields": ["action_time", "user", "content_type", "object_repr", "what"]})]

    @display(description="what")
    def what(self, entry: LogEntry) -> str:
        return entry.get_change_message() or entry.get_action_flag_display()
