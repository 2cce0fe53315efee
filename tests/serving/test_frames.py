"""What the server and a worker say to each other arrives as it was said, in whatever pieces."""

from __future__ import annotations

import json
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.serving.worker.answers import Answered, answers_of
from headrace.serving.worker.frames import MAX_HEAD, FrameError, Unpacker, pack

HEADS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=6,
    ),
    max_size=4,
)
BODIES = st.lists(st.binary(max_size=50) | st.just(b"x" * 70_000), max_size=3)


@given(st.lists(st.tuples(HEADS, BODIES), max_size=5), st.data())
def test_frames_arrive_in_any_pieces(
    frames: list[tuple[dict[str, object], list[bytes]]], data: st.DataObject
) -> None:
    stream = b"".join(piece for head, bodies in frames for piece in pack(head, bodies))
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8).map(sorted))
    unpacker = Unpacker()

    arrived = [
        frame
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for frame in unpacker.feed(stream[start:end])
    ]

    assert arrived == [(head, b"".join(bodies)) for head, bodies in frames]


def test_a_frame_that_comes_byte_by_byte() -> None:
    stream = b"".join(pack({"op": "a"}, [b"body"]) + pack({"op": "b"}))
    unpacker = Unpacker()
    assert [frame for at in range(len(stream)) for frame in unpacker.feed(stream[at : at + 1])] == [
        ({"op": "a"}, b"body"),
        ({"op": "b"}, b""),
    ]


@given(st.binary(max_size=200))
def test_nonsense_is_waited_for_or_refused(data: bytes) -> None:
    try:
        for head, _ in Unpacker(1000).feed(data):
            assert isinstance(head, dict)
    except FrameError:
        pass


@pytest.mark.parametrize(
    "stream",
    [
        struct.pack("!II", MAX_HEAD + 1, 0),
        struct.pack("!II", 2, 1001),
        struct.pack("!II", 2, 0) + b"[]",
        struct.pack("!II", 3, 0) + b"{]}",
        struct.pack("!II", 100_000, 0) + b"[" * 100_000,
        struct.pack("!II", 2, 0) + b"\xff\xfe",
    ],
    ids=["head too long", "body too long", "no object", "no JSON", "too deep", "no text"],
)
def test_what_is_no_frame_is_refused_before_it_is_kept(stream: bytes) -> None:
    with pytest.raises(FrameError):
        Unpacker(1000).feed(stream)


def test_the_head_has_a_limit_of_its_own() -> None:
    stream = b"".join(pack({"text": "x" * 100}))
    assert Unpacker(max_head=111).feed(stream)
    with pytest.raises(FrameError, match="announces 111"):
        Unpacker(max_head=110).feed(stream)


def test_a_head_that_is_too_large_is_not_sent() -> None:
    with pytest.raises(FrameError, match="too large"):
        pack({"text": "x" * MAX_HEAD})


def test_large_bodies_are_not_copied() -> None:
    body = b"x" * 1_000_000
    pieces = pack({"op": "answers"}, [body, b"y"])
    assert pieces[1] is body
    assert json.loads(pieces[0][8:]) == {"op": "answers"}


def test_a_large_body_is_what_it_was_put_together_in() -> None:
    """Also between small ones; copies of hundreds of megabytes would stop the server meanwhile."""
    large = b"x" * 1_000_000
    frames = [({"op": "a"}, b"1"), ({"op": "b"}, large), ({"op": "c"}, b"2"), ({"op": "d"}, large)]
    stream = b"".join(piece for head, body in frames for piece in pack(head, [body]))
    unpacker = Unpacker()
    arrived = [
        frame
        for start in range(0, len(stream), 300_000)
        for frame in unpacker.feed(stream[start : start + 300_000])
    ]
    assert arrived == frames
    assert [type(body) for _, body in arrived] == [bytes, bytearray, bytes, bytearray]
    (answer,) = answers_of([[len(large), "text/csv", {}]], arrived[1][1])
    assert isinstance(answer, Answered)
    assert answer.body is arrived[1][1]
