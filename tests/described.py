"""What the API's description says that an operation may answer."""

import re
from functools import cache
from typing import Any

from django.urls import resolve
from drf_spectacular.generators import SchemaGenerator


def described(response: Any) -> bool:
    """Whether a test client's answer has a status that the description of what was asked names."""
    request = response.wsgi_request
    operations = paths()[_template(request.path)]
    if request.method.lower() not in operations:
        return bool(response.status_code == 405)
    return str(response.status_code) in operations[request.method.lower()]["responses"]


def _template(path: str) -> str:
    return "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", resolve(path).route)


@cache
def paths() -> dict[str, Any]:
    found: dict[str, Any] = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    return found
