"""Examples of recommendations, for the API's description."""

from typing import Any

from drf_spectacular.utils import OpenApiExample

_ID = "0197f3a0-8c1e-7d6b-9f5e-2a4c6e8b0d1f"
_DEPLOYMENT = "0197f3a0-9d2f-7e7c-8a6f-3b5d7f9c1e20"
_RECOMMENDATION: dict[str, Any] = {
    "id": _ID,
    "kind": "dear_model",
    "subject": "caption:openai",
    "task": "caption",
    "status": "verified",
    "remark": "",
    "advice": "Have caption questions answered by openai (gpt-3.5-turbo) first. 412 of 640 were answered "
    "by a dearer one (azure).",
    "change": {"deployment": _DEPLOYMENT},
    "monthly_saving": {"amount": "3.18", "currency": "USD"},
    "confidence": 0.78,
    "reasons": [
        "20 past questions, asked again: a score of 0.84 on average, 0.78 to 0.90 with 95 % confidence; 0.70 "
        "is needed of the lower bound.",
        "Judged by gpt-4o.",
    ],
    "analysed_at": "2026-03-14T02:15:07Z",
    "quiet_until": None,
    "verified_at": "2026-03-14T09:26:53Z",
    "verification_cost": {"amount": "0.0214", "currency": "USD"},
    "application": None,
    "measurement": None,
    "created_at": "2026-03-13T02:15:04Z",
}
_APPLIED = {
    **_RECOMMENDATION,
    "status": "applied",
    "application": {
        "at": "2026-03-14T09:30:00Z",
        "by": "hz_1a2b3c4d (manager)",
        "before": {"deployment": None},
        "after": {"deployment": _DEPLOYMENT},
        "reverted_at": None,
    },
    "measurement": {
        "at": "2026-03-21T02:45:03Z",
        "calls": 161,
        "cost": {"amount": "0.058", "currency": "USD"},
        "saving": {"amount": "0.77", "currency": "USD"},
        "predicted": {"amount": "0.80", "currency": "USD"},
        "roi": 35.98,
    },
}
_ANALYSIS = {
    "id": "0197f3a1-0e3a-7f8d-9b70-4c6e8f0a2b31",
    "state": "done",
    "since": "2026-02-12T08:00:11Z",
    "generations": 9314,
    "is_sample": False,
    "found": 4,
    "created_at": "2026-03-14T02:15:00Z",
    "finished_at": "2026-03-14T02:15:07Z",
    "error": "",
}
_REPLAY = {
    "id": "0197f3a1-1f4b-7a9e-8c81-5d7f9a1b3c42",
    "state": "done",
    "deployment": "openai",
    "judged": True,
    "threshold": 0.7,
    "score": 0.84,
    "lower": 0.78,
    "upper": 0.9,
    "max_cost": {"amount": "1.00", "currency": "USD"},
    "cost": {"amount": "0.0214", "currency": "USD"},
    "created_at": "2026-03-14T09:26:01Z",
    "finished_at": "2026-03-14T09:26:53Z",
    "error": "",
    "items": [
        {
            "original": "0197f3a1-205c-7baf-9d92-6e8aab2c4d53",
            "generation": "0197f3a1-316d-7cb0-aea3-7f9bbc3d5e64",
            "judge": "0197f3a1-427e-7dc1-bfb4-8a0ccd4e6f75",
            "state": "done",
            "scores": {"answered": 1, "similarity": 0.41, "length": 0.93, "judge": 0.85},
            "score": 0.85,
            "original_cost": {"amount": "0.0012", "currency": "USD"},
            "cost": {"amount": "0.0011", "currency": "USD"},
            "error": "",
        }
    ],
}
_DETAIL = {
    **_RECOMMENDATION,
    "evidence": {"questions": 640, "by_deployment": {"azure": 412}, "cheaper": "openai"},
    "replays": [_REPLAY],
}
PAGE = OpenApiExample(
    "An applied one",
    response_only=True,
    value={
        "next": None,
        "previous": None,
        "results": [_APPLIED],
        "totals": {
            "expected_monthly_saving": {"amount": "4.62", "currency": "USD"},
            "measured_saving": {"amount": "0.77", "currency": "USD"},
            "predicted_saving": {"amount": "0.80", "currency": "USD"},
            "verification_cost": {"amount": "0.0214", "currency": "USD"},
        },
        "analysis": _ANALYSIS,
    },
)
REQUESTS = [
    OpenApiExample("Analyse now", request_only=True, value={"action": "analyse"}),
    OpenApiExample(
        "Verify by a replay",
        request_only=True,
        value={"action": "verify", "recommendation": _ID, "sample": 20, "max_cost": "0.50"},
    ),
    OpenApiExample("Apply", request_only=True, value={"action": "apply", "recommendation": _ID}),
    OpenApiExample("Revert", request_only=True, value={"action": "revert", "recommendation": _ID}),
]
VERIFIED = OpenApiExample("A verified one", response_only=True, value=_DETAIL)
ANSWERS = [
    OpenApiExample("Applied", response_only=True, status_codes=["200"], value={**_DETAIL, **_APPLIED}),
    OpenApiExample(
        "Begun", response_only=True, status_codes=["202"], value={**_ANALYSIS, "state": "pending"}
    ),
]
