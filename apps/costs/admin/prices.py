from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminSelectWidget

from apps.common.admin.base import Admin
from apps.common.admin.columns import Amount, Column, amount, link
from apps.common.errors import ConflictError
from apps.costs.models import Price
from apps.costs.price_list import PROVIDERS, RATES
from apps.costs.price_rules import begins_at, is_fixed, price_problems

_STAYS = "it has begun, so it stays: the ledger's entries were reckoned with it"
_FIXED = (
    "This price has begun, so it stays: the ledger's entries were reckoned with it. Enter a new one that "
    "starts later; it takes over then."
)
_OPEN = (
    "A price holds until the next one of its model starts. It may be changed until a minute before that, "
    "and takes another one's place no sooner than in a minute."
)


class PriceForm(forms.ModelForm):  # type: ignore[type-arg]  # not generic at run time
    """A price that is new, or hasn't begun."""

    provider = forms.ChoiceField(choices=[(each, each) for each in PROVIDERS], widget=UnfoldAdminSelectWidget)

    class Meta:
        model = Price
        fields = ["provider", "model", "kind", *RATES, "starts_at", "note"]

    def clean_model(self) -> str:
        return str(self.cleaned_data["model"]).strip()

    def clean(self) -> None:
        super().clean()
        given, now = self.cleaned_data, timezone.now()
        problems = price_problems(
            kind=given.get("kind", ""),
            rates={rate: given.get(rate) for rate in RATES},
            starts_at=given.get("starts_at"),
            now=now,
        )
        for field, problem in problems.items():
            self.add_error(field, problem)
        if not self.errors and self._in_force(given, at=now):
            given["starts_at"] = begins_at(given["starts_at"], now=now)
        if not self.errors and (same := self._same_in_force(given)):
            self.add_error(
                None,
                f"These rates hold already, since {same.starts_at.astimezone(UTC):%Y-%m-%d}: change one of "
                "them, or leave that price to go on.",
            )

    def _same_in_force(self, given: dict[str, Any]) -> Price | None:
        """The price that would be in force from then on without this one, if it says the same."""
        found = self._in_force(given, at=given["starts_at"] - timedelta(microseconds=1))
        names = ("kind", *RATES)
        return found if found and all(getattr(found, name) == given[name] for name in names) else None

    def _in_force(self, given: dict[str, Any], *, at: datetime) -> Price | None:
        others = Price.objects.exclude(pk=self.instance.pk)
        return others.in_force(provider=given["provider"], model=given["model"], at=at)


@contextmanager
def _told_in_words(price: Price) -> Iterator[None]:
    """What the database refuses though the form let it through: another was faster, or it has just begun."""
    try:
        with transaction.atomic():
            yield
    except IntegrityError as error:
        raise ConflictError(
            f"{price}: it has begun meanwhile, or somebody has entered a price from the same instant. "
            "Look at it again, and enter one that starts later."
        ) from error


class NextPrice(Column):
    """Leads to a new price of the same model, with the rates of this one to begin with."""

    def __call__(self, price: Any) -> str:
        rates = {rate: getattr(price, rate) for rate in RATES}
        known = {rate: amount(value, group="") for rate, value in rates.items() if value is not None}
        given = {name: getattr(price, name) for name in ("provider", "model", "kind")}
        url = f"{reverse('admin:costs_price_add')}?{urlencode({**given, **known})}"
        return link(url, "New from this")


_NEXT = NextPrice("next")
_AMOUNTS = {rate: Amount(rate.replace("_", " "), rate) for rate in RATES}
# For the list, which is narrow, and says the unit above.
_IN_THE_LIST = [
    Amount(rate.removesuffix("_per_million").replace("_", " "), rate, currency="") for rate in RATES[:3]
]
_USUAL, _BATCH = list(_AMOUNTS.values())[:3], list(_AMOUNTS.values())[3:]


@admin.register(Price)
class PriceAdmin(Admin):
    """A price that has begun never changes: a new one starts later."""

    form = PriceForm
    deletable = True
    list_before_template = "admin/list_note.html"
    list_note = "Rates are in US dollars per million tokens."
    empty_hint = "A model without a price is refused. Add one, or run: manage.py ensure_deployments"
    list_display = [
        "provider",
        "model",
        "kind",
        *_IN_THE_LIST,
        "starts_at",
        _NEXT,
    ]
    list_display_links = ["model"]
    list_filter = ["provider", "kind"]
    search_fields = ["provider", "model"]
    search_ids = []
    search_help_text = "Provider or model"
    readonly_fields = [*_AMOUNTS.values(), _NEXT]
    fieldsets: list[Any] = [
        (None, {"fields": [("provider", "model", "kind"), "starts_at", "note", _NEXT]}),
        ("Rates", {"fields": [tuple(_USUAL)]}),
        ("Rates of batches", {"fields": [tuple(_BATCH)]}),
    ]
    add_fieldsets = [
        (None, {"fields": [("provider", "model", "kind"), ("starts_at", "note")], "description": _OPEN}),
        ("US dollars per million tokens", {"fields": [RATES[:3]]}),
        ("The same in batches", {"fields": [RATES[3:]]}),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Price | None = None) -> Any:
        if obj is None or self.has_change_permission(request, obj):
            return self.add_fieldsets
        (title, options), *others = self.fieldsets
        fixed = is_fixed(obj.starts_at, now=timezone.now())
        return [(title, {**options, "description": _FIXED if fixed else _OPEN}), *others]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """Of a new price: from now on, unless somebody says otherwise."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        initial.setdefault("starts_at", timezone.now().astimezone(UTC).replace(second=0, microsecond=0))
        return initial

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_change(obj) and bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may_change(obj) and bool(super().has_delete_permission(request, obj))

    def save_model(self, request: HttpRequest, obj: Price, form: Any, change: bool) -> None:
        with _told_in_words(obj):
            super().save_model(request, obj, form, change)

    def delete_model(self, request: HttpRequest, obj: Price) -> None:
        with _told_in_words(obj):
            super().delete_model(request, obj)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """Names those of several that have begun, instead of speaking of missing rights."""
        to_delete, number, lacking, protected = super().get_deleted_objects(objs, request)
        fixed = [each for each in objs if not self._may_change(each)]
        if fixed and self.has_delete_permission(request):
            lacking = lacking - {self.opts.verbose_name}
            protected = [*protected, *(f"{each}: {_STAYS}. Leave it out." for each in fixed)]
        return to_delete, number, lacking, protected

    def _may_change(self, obj: Price | None) -> bool:
        return obj is None or not is_fixed(obj.starts_at, now=timezone.now())
