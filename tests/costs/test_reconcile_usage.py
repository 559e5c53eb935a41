"""The command that compares a provider's bill with the ledger and corrects it."""

from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from threading import Event, current_thread, main_thread
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from apps.costs.services import corrections, usage_imports
from apps.tenants.models import Tenant
from tests.costs.bills import HEAD, LATER, imported, ledger, lose, spend
from tests.costs.spending import MODEL
from tests.costs.threads import a_lock_is_waited_for, at_once
from tests.waiting import wait_until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("year", "dollar_prices")]


def run(path: Path, *options: str) -> str:
    out = StringIO()
    call_command("reconcile_usage", str(path), "--provider", "openai", *options, stdout=out)
    return out.getvalue()


def test_the_command_shows_then_corrects_then_finds_nothing(agency: Tenant, tmp_path: Path) -> None:
    spend(agency, 7)
    lose(agency, 30)
    path = tmp_path / "usage.csv"
    path.write_text(f"{HEAD}2026-05-14,{MODEL},2,20,0,0,20\n")
    with pytest.raises(SystemExit) as left:
        run(path)
    assert left.value.code == 2
    assert ledger()[0] == 37
    text = run(path, "--apply", "--all")
    assert "imported before" in text
    assert "Matched" in text
    assert "1 days of models match, 0 don't. Corrected: 1." in text
    assert ledger()[0] == 20
    assert "nothing to correct" in run(path, "--apply")
    assert ledger()[0] == 20


@pytest.mark.parametrize("after", [False, True])
def test_the_command_follows_what_another_worker_has_in_hand_to_its_end(
    agency: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """The worker is at a correction, or has entered it and compares."""
    lose(agency, 30)
    row = f"2026-05-14,{MODEL},1,12,0,0,12"
    corrections.plan_corrections(usage_import=imported(row), now=LATER)
    path = tmp_path / "usage.csv"
    path.write_text(HEAD + row)
    in_hand, ended = Event(), Event()
    name, where = ("refresh", usage_imports) if after else ("call_for_tenant", corrections)
    real = getattr(where, name)

    def slowly(*given: Any, **named: Any) -> Any:
        if current_thread() is not main_thread() and not in_hand.is_set():
            in_hand.set()
            wait_until(lambda: ended.is_set() or a_lock_is_waited_for(), seconds=20, what="the command")
        return real(*given, **named)

    monkeypatch.setattr(where, name, slowly)
    with ThreadPoolExecutor(1) as pool:
        worker = pool.submit(at_once, 1, lambda _: corrections.enter_corrections(now=LATER))
        assert in_hand.wait(20)
        try:
            text = run(path, "--apply")
        finally:
            ended.set()
        worker.result()

    assert "1 days of models match, 0 don't. Corrected: 1." in text


def test_the_tolerance_that_is_given_counts_to_the_end(agency: Tenant, tmp_path: Path) -> None:
    spend(agency, 100)
    lose(agency, 30)
    path = tmp_path / "usage.csv"
    # Four per cent less than is known without the estimate.
    path.write_text(f"day,model,amount\n2026-05-14,{MODEL},96\n")
    text = run(path, "--apply", "--tolerance", "5")
    assert ledger()[0] == 100
    assert "1 days of models match, 0 don't. Corrected: 1." in text


def test_the_command_refuses_in_words(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        run(tmp_path / "none.csv")
    path = tmp_path / "bad.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(CommandError, match="say too little"):
        run(path)
