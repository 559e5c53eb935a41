"""A plain client of the gateway's protocol."""

import json
from typing import Any, Self

import httpx2


class GatewayClient:
    """Calls the gateway as dispatch does, and its routes for tests."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client = httpx2.Client(base_url=url, timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def send(
        self,
        key: str | None = "key-1",
        *,
        account: str = "anna",
        recipient: str = "fan-1",
        body: Any = None,
        content: bytes | None = None,
        credential: str = "secret",
        timeout: float = 10,
    ) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {credential}"} if credential else {}
        if key is not None:
            headers["Idempotency-Key"] = key
        body = {"text": "hello", "price": None, "media": []} if body is None else body
        return self._client.post(
            f"/gateway/accounts/{account}/chats/{recipient}/messages",
            content=json.dumps(body).encode() if content is None else content,
            headers=headers,
            timeout=timeout,
        )

    def look_up(self, key: str = "key-1", *, account: str = "anna") -> httpx2.Response:
        return self._client.get(
            f"/gateway/accounts/{account}/messages",
            params={"idempotency_key": key},
            headers={"Authorization": "Bearer secret"},
        )

    def put_faults(self, document: dict[str, Any]) -> httpx2.Response:
        return self._client.put("/faults", json=document)

    def reset(self) -> None:
        self._client.post("/reset").raise_for_status()

    def audit(self, **query: float) -> Any:
        return self._client.get("/audit", params=query).raise_for_status().json()

    def arrivals(self, **query: Any) -> list[dict[str, Any]]:
        text = self._client.get("/arrivals", params=query).raise_for_status().text
        return [json.loads(line) for line in text.splitlines()]
