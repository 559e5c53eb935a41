"""Bodies and answers as they are on the wire, through the `openai` client's own `post`.

Its typed methods go through every node of a body, its schema included, to turn Python's names into the
wire's, and build an object for every node of an answer without checking any. Ours have the wire's names
already, and what comes back has to be checked all the same: that is a third of a call's time for nothing.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import httpx2
from openai import OpenAI, Stream


def post(client: OpenAI, path: str, body: Mapping[str, Any], *, timeout: httpx2.Timeout) -> object:
    """The answer's JSON, of whatever shape; its text where it is none. Raises what the client does."""
    answer: object = client.post(path, body=body, cast_to=object, options={"timeout": timeout})
    if isinstance(answer, str):
        # Some servers call it a text.
        with suppress(ValueError):
            return json.loads(answer)
    return answer


def stream(client: OpenAI, path: str, body: Mapping[str, Any], *, timeout: httpx2.Timeout) -> Stream[object]:
    """The JSON of the answer's pieces, as they come. Raises what the client does, also while they come."""
    return client.post(
        path,
        body=body,
        cast_to=object,
        options={"timeout": timeout},
        stream=True,
        stream_cls=Stream[object],
    )
