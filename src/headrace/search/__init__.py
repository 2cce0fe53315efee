"""The filter language of the five searches: text in, a frozen meaning or a pointed error out.

`metrics.loss < 0.1 AND params.optimizer = 'adam'` becomes a Filter; the store turns it into SQL.
"""

from __future__ import annotations

from headrace.search.fields import Dialect
from headrace.search.parser import order_term, parse_filter, parse_order_by
from headrace.search.tree import Comparison, Filter, Kind, Operator, OrderTerm, Value

__all__ = [
    "Comparison",
    "Dialect",
    "Filter",
    "Kind",
    "Operator",
    "OrderTerm",
    "Value",
    "order_term",
    "parse_filter",
    "parse_order_by",
]
