from typing import Any

import pytest
from django.core.management import call_command


@pytest.fixture
def deployments(ai_sandbox: Any, transactional_db: None) -> None:
    """Azure with the advanced model and OpenAI with the standard one, both priced, at the sandbox."""
    call_command("ensure_deployments")
