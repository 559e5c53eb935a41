"""Two stacks on one machine know nothing of each other."""

import pytest

from tests.live import Api, Refused, live_stack, new_agency
from tests.services import HOME

pytestmark = pytest.mark.long


def test_two_stacks_run_side_by_side() -> None:
    with live_stack(HOME / "first", only=("web",)) as first:
        ada = new_agency(first)
        with live_stack(HOME / "second", only=("web",)) as second:
            assert second.base_url != first.base_url
            assert second.urls != first.urls
            with pytest.raises(Refused) as refusal:
                Api(second.base_url, ada.key).get("/accounts")
            assert refusal.value.status == 401
        # Whatever the second one started has ended, and nothing else.
        ada.get("/accounts")
        assert all(first.pid_of(name) for name in ("web", "redis", "postgres"))
