"""The form with which an operator hands in a provider's export."""

from typing import Any

from django import forms
from django.db import connection
from django.http import HttpRequest
from django.utils import timezone
from unfold.widgets import UnfoldAdminFileFieldWidget, UnfoldAdminSelectWidget

from apps.common.errors import DomainError
from apps.costs.models import BilledBy, UsageImport
from apps.costs.services import usage_imports

# It is read in the page's transaction, which idles meanwhile: so many bytes may take more than ten seconds.
_MOST_BYTES = 20 * 2**20
_MAY_IDLE = "SET LOCAL idle_in_transaction_session_timeout = '3min'"


class UploadForm(forms.ModelForm):  # type: ignore[type-arg]  # of one model
    """A file that is imported when the form is checked, so that what is wrong with it stands beside it."""

    provider = forms.ChoiceField(choices=BilledBy.choices, widget=UnfoldAdminSelectWidget)
    file = forms.FileField(
        widget=UnfoldAdminFileFieldWidget,
        help_text="The provider's usage or cost export, as CSV, up to 20 MB; for larger ones:"
        " manage.py reconcile_usage.",
    )

    class Meta:
        model = UsageImport
        fields = ["provider", "file"]

    def clean_file(self) -> Any:
        file = self.cleaned_data["file"]
        if file.size > _MOST_BYTES:
            raise forms.ValidationError("It has more than 20 MB: use manage.py reconcile_usage.")
        return file


def uploading(request: HttpRequest) -> type[UploadForm]:
    """The form, for whoever is signed in."""

    class Uploading(UploadForm):
        def clean(self) -> dict[str, Any]:
            given = super().clean() or {}
            file, provider = given.get("file"), given.get("provider")
            if file and provider:
                with connection.cursor() as cursor:
                    cursor.execute(_MAY_IDLE)
                try:
                    self.instance = usage_imports.import_usage(
                        provider=provider,
                        file=file.file,
                        file_name=file.name,
                        now=timezone.now(),
                        uploaded_by=request.user.pk,
                    )
                except DomainError as refusal:
                    self.add_error("file", refusal.message.split("\n"))
            return given

        def _post_clean(self) -> None:
            """The row is made by the service."""

    return Uploading
