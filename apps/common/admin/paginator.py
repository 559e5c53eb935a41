from typing import Any

from django.core.paginator import Paginator
from django.utils.functional import cached_property


class BoundedPaginator(Paginator[Any]):
    """Counts no further than a bound: nobody pages through a million rows, and counting them takes seconds.

    A list that is longer shows the bound with a plus (templates/admin/pagination_bounded.html).
    """

    bound = 10_000
    template_name = "admin/pagination_bounded.html"

    @cached_property
    def reached(self) -> int:
        """The rows there are, or one more than the bound."""
        rows: Any = self.object_list
        return int(rows.order_by()[: self.bound + 1].count()) if hasattr(rows, "order_by") else len(rows)

    @cached_property
    def count(self) -> int:
        return min(self.reached, self.bound)

    @property
    def is_longer(self) -> bool:
        return self.reached > self.bound
