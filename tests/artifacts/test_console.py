"""Reading a console log: any page from any offset is a piece of what was written."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.artifacts import console
from headrace.artifacts.console import chunk_name, read_page, sources
from headrace.artifacts.local import LocalArtifactStore

SOURCE = "20261121T120000.000000Z-ab12"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> LocalArtifactStore:
    return LocalArtifactStore(tmp_path_factory.mktemp("artifacts"))


def put(
    store: LocalArtifactStore, root: str, start: int, data: bytes, source: str = SOURCE
) -> None:
    with store.write(f"{root}/headrace/console/{source}/{chunk_name(start)}") as writer:
        writer.write(data)
        writer.commit()


def read_all(store: LocalArtifactStore, root: str, offset: int = 0) -> list[str]:
    pages: list[str] = []
    while True:
        page = read_page(store, root, SOURCE, offset, complete=True)
        if page.next_offset == offset:
            return pages
        pages.append(page.text)
        offset = page.next_offset


@given(
    st.text(st.characters(codec="utf-8"), max_size=200),
    st.lists(st.integers(1, 40), max_size=8),
    st.integers(4, 50),
)
def test_the_pages_are_the_text(
    store: LocalArtifactStore, text: str, sizes: list[int], page_bytes: int
) -> None:
    data, root = text.encode(), f"r{abs(hash((text, tuple(sizes))))}"
    start = 0
    for size in [*sizes, len(data)]:
        if start < len(data):
            put(store, root, start, data[start : start + size])
            start += size
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(console, "PAGE_BYTES", page_bytes)
        pages = read_all(store, root)
    assert "".join(pages) == text
    assert all(len(page.encode()) <= page_bytes for page in pages)


def test_a_log_that_grows_is_read_on(store: LocalArtifactStore) -> None:
    whole = "größer ✓\n".encode()
    assert read_page(store, "grows", SOURCE, 0) == ("", 0)
    put(store, "grows", 0, whole[:3])
    assert read_page(store, "grows", SOURCE, 0) == ("gr", 2)  # half a character waits
    assert read_page(store, "grows", SOURCE, 2) == ("", 2)
    put(store, "grows", 0, whole[:5])
    put(store, "grows", 5, whole[5:])
    assert read_page(store, "grows", SOURCE, 2) == ("ößer ✓\n", len(whole))
    assert read_page(store, "grows", SOURCE, len(whole)) == ("", len(whole))
    assert read_page(store, "grows", SOURCE, 10**12 - 1) == ("", 10**12 - 1)


def test_what_is_still_on_its_way_is_waited_for(store: LocalArtifactStore) -> None:
    put(store, "gap", 0, b"one\n")
    put(store, "gap", 10, b"three\n")
    assert read_page(store, "gap", SOURCE, 0) == ("one\n", 4)
    assert read_page(store, "gap", SOURCE, 4) == ("", 4)
    assert "".join(read_all(store, "gap")) == "one\n\n[6 bytes are missing]\nthree\n"


def test_bytes_that_are_no_text_do_not_stop_a_reader(store: LocalArtifactStore) -> None:
    put(store, "bytes", 0, b"\xff\x80\x80\x80\x80ok\xc3")
    assert "".join(read_all(store, "bytes")) == "\ufffd" * 5 + "ok\ufffd"
    assert read_page(store, "bytes", SOURCE, 6).text == "k"


def test_a_very_long_log_is_read_in_pages(store: LocalArtifactStore) -> None:
    put(store, "long", 0, b"a" * (console.PAGE_BYTES + 5))
    page = read_page(store, "long", SOURCE, 0)
    assert (len(page.text), page.next_offset) == (console.PAGE_BYTES, console.PAGE_BYTES)


def test_sources_are_listed_by_their_beginning(store: LocalArtifactStore, tmp_path: Path) -> None:
    assert sources(store, "many") == []
    for source in ("20270101T000000.000000Z-0000", SOURCE):
        put(store, "many", 0, b"x", source)
    # What somebody else put there is passed over.
    for path in ("headrace/console/notes.txt", "headrace/console/ä b/x.log"):
        with store.write(f"many/{path}") as writer:
            writer.write(b"x")
            writer.commit()
    with store.write(f"many/headrace/console/{SOURCE}/1.log") as writer:
        writer.write(b"other")
        writer.commit()
    assert sources(store, "many") == [SOURCE, "20270101T000000.000000Z-0000"]
    assert read_page(store, "many", SOURCE, 0).text == "x"
