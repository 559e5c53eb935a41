"""Two stacks on one machine know nothing of each other."""

import pytest

from tests.live import Api, Refused, live_stack
from tests.resilience.conftest import Machine
from tests.services import HOME


def test_two_stacks_run_side_by_side(machine: Machine, ada: Api) -> None:
    with live_stack(HOME / "second", only=("web",)) as second:
        assert second.base_url != machine.stack.base_url
        assert second.urls != machine.stack.urls
        with pytest.raises(Refused) as refusal:
            Api(second.base_url, ada.key).get("/accounts")
        assert refusal.value.status == 401
    # Whatever the second one started has ended, and nothing else.
    ada.get("/accounts")
    assert all(machine.stack.pid_of(name) for name in machine.stack.names if name != "flower")
