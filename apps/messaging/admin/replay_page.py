"""Replaying every dead message that a list's filters let through: a page that counts and asks first."""

from typing import Any

from django.contrib import messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone

from apps.common.admin.operations import Order
from apps.messaging.models import Message
from apps.messaging.services.replay import AT_ONCE, COUNTED, Replayed, count_dead, replay_matching


def replay_page(model_admin: Any, request: HttpRequest) -> HttpResponseBase:
    """Ask, then replay up to 1,000; while more are left, it asks again."""
    if not request.user.has_perm("messaging.change_message"):
        raise PermissionDenied
    rows = model_admin.get_changelist_instance(request).get_queryset(request)
    if request.method == "POST":
        done = replay_matching(matching=rows, now=timezone.now())
        _tell(request, done)
        here = request.get_full_path()
        back = f"../?{request.GET.urlencode()}"
        return redirect(here if done.remaining else back)
    number = count_dead(rows)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": "Replay dead messages",
        "opts": model_admin.opts,
        "number": number,
        "is_longer": number >= COUNTED,
        "at_once": min(number, AT_ONCE),
        "filtered": bool(request.GET),
        "back": f"../?{request.GET.urlencode()}",
    }
    return TemplateResponse(request, "admin/replay.html", context)


def _tell(request: HttpRequest, done: Replayed) -> None:
    messages.success(request, f"Replayed: {done.replayed:,}.")
    if cancelled := done.refused.get("outbox_cancelled"):
        messages.warning(request, f"{cancelled:,} stay dead, since their campaigns were cancelled.")
    if done.replayed:
        LogEntry.objects.create(
            user_id=Order(request, timezone.now()).user_id,
            content_type=ContentType.objects.get_for_model(Message),
            object_repr=f"{done.replayed:,} messages",
            action_flag=CHANGE,
            change_message=f"Replayed. {request.GET.urlencode()}"[:1000].strip(),
        )
