from tests.costs.conftest import _other_databases

__all__ = ["_other_databases"]
