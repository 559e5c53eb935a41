"""What our own fields do otherwise than Django's."""

import pytest
from django.db import connection
from django.db.models import CheckConstraint, Model

from apps.ai.models import Generation
from apps.costs.models import BudgetCounter, Hold

_CHECKS = "SELECT conname FROM pg_constraint WHERE contype = 'c' AND conrelid = %s::regclass"


@pytest.mark.django_db
@pytest.mark.parametrize("model", [Generation, Hold, BudgetCounter])
def test_a_hot_table_has_no_checks_but_those_that_its_model_names(model: type[Model]) -> None:
    """PostgreSQL parses each of them anew in every statement that writes to the table."""
    named = {each.name for each in model._meta.constraints if isinstance(each, CheckConstraint)}

    with connection.cursor() as cursor:
        cursor.execute(_CHECKS, [model._meta.db_table])
        assert {name for (name,) in cursor.fetchall()} == named
