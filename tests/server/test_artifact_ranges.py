"""Ranges and conditions, without a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.errors import UnsatisfiableRange
from headrace.server.artifact_ranges import http_date, not_modified, wanted_range

ETAG = '"abc"'
MODIFIED = 1_795_239_419.9
DATE = "Sat, 21 Nov 2026 05:36:59 GMT"
LATER = "Sat, 21 Nov 2026 05:37:00 GMT"
EARLIER = "Sat, 21 Nov 2026 05:36:58 GMT"


@pytest.mark.parametrize(
    ("text", "start", "length"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=0-99", 0, 100),
        ("bytes=10-", 10, 90),
        ("bytes=90-1000", 90, 10),
        ("bytes=-10", 90, 10),
        ("bytes=-1000", 0, 100),
        ("BYTES = 5-6", 5, 2),
    ],
)
def test_one_range(text: str, start: int, length: int) -> None:
    part = wanted_range({"range": text}, 100, ETAG, MODIFIED)
    assert part == (start, length)
    assert part is not None
    assert part.content_range(100) == f"bytes {start}-{start + length - 1}/100"


@pytest.mark.parametrize(
    "text", ["bytes=0-1,5-6", "bytes=", "bytes=-", "bytes=5-1", "items=0-1", "bytes=a-b", "x"]
)
def test_what_cannot_be_served_as_a_range_is_served_whole(text: str) -> None:
    assert wanted_range({"range": text}, 100, ETAG, MODIFIED) is None


@pytest.mark.parametrize(("text", "size"), [("bytes=100-", 100), ("bytes=-0", 9), ("bytes=0-", 0)])
def test_a_range_behind_the_end(text: str, size: int) -> None:
    with pytest.raises(UnsatisfiableRange) as found:
        wanted_range({"range": text}, size, ETAG, MODIFIED)
    assert found.value.size == size


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        (ETAG, True),
        ('"other"', False),
        (f"W/{ETAG}", False),
        (DATE, True),
        (EARLIER, False),
        (LATER, False),
        ("no date", False),
    ],
)
def test_a_range_of_another_version_is_not_mixed_in(condition: str, holds: bool) -> None:
    headers = {"range": "bytes=0-1", "if-range": condition}
    assert (wanted_range(headers, 100, ETAG, MODIFIED) is not None) is holds


@pytest.mark.parametrize(
    ("headers", "known"),
    [
        ({}, False),
        ({"if-none-match": ETAG}, True),
        ({"if-none-match": f'"x", W/{ETAG}'}, True),
        ({"if-none-match": "*"}, True),
        ({"if-none-match": '"x"', "if-modified-since": LATER}, False),
        ({"if-modified-since": DATE}, True),
        ({"if-modified-since": EARLIER}, False),
        ({"if-modified-since": "yesterday"}, False),
    ],
)
def test_what_the_client_has_already(headers: dict[str, str], known: bool) -> None:
    assert not_modified(headers, ETAG, MODIFIED) is known


def test_dates() -> None:
    assert http_date(MODIFIED) == DATE


@given(st.text(max_size=30), st.integers(0, 50))
def test_any_text_gives_bytes_of_the_file_or_the_whole(text: str, size: int) -> None:
    try:
        part = wanted_range({"range": f"bytes={text}"}, size, ETAG, MODIFIED)
    except UnsatisfiableRange:
        return
    assert part is None or (part.length > 0 and 0 <= part.start <= size - part.length)
