"""Tables of an evaluation, as columns: written as CSV, read as DataFrames."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

Table = Mapping[str, Sequence[Any]]
"""Columns by name, all of one length; None where there is no value."""


def csv_of(table: Table) -> bytes:
    """The table as CSV (RFC 4180, but lines end in a line feed), UTF-8, with a header.

    Numbers have as many digits as it takes to read them back exactly.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.keys())
    writer.writerows(zip(*table.values(), strict=True))
    return text.getvalue().encode("utf-8", "surrogatepass")
