from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headrace.models.flavors.stop_texts import StopCutter, cut_at_stop, streamed

PIECES = st.lists(st.text("ab\n", max_size=4), max_size=12)
STOPS = st.lists(st.text("ab\n", min_size=1, max_size=4), max_size=3)


def said_of(pieces: list[str], stops: list[str]) -> tuple[list[str], bool]:
    cutter = StopCutter(stops)
    said = [cutter.add(piece) for piece in pieces]
    return [*said, cutter.rest()], cutter.is_stopped


@given(PIECES, STOPS)
def test_what_is_said_is_the_text_before_the_stop(pieces: list[str], stops: list[str]) -> None:
    said, is_stopped = said_of(pieces, stops)
    text = ""
    for piece in pieces:
        text += piece
        whole, is_cut = cut_at_stop(text, stops)
        if is_cut:
            break
    else:
        whole, is_cut = text, False
    assert ("".join(said), is_stopped) == (whole, is_cut)


@given(PIECES, st.text("ab\n", min_size=1, max_size=4))
def test_one_stop_cuts_wherever_pieces_meet(pieces: list[str], stop: str) -> None:
    said, is_stopped = said_of(pieces, [stop])
    assert ("".join(said), is_stopped) == cut_at_stop("".join(pieces), [stop])


@given(PIECES, STOPS, st.text("ab\n", max_size=8))
def test_nothing_said_has_to_be_taken_back(pieces: list[str], stops: list[str], more: str) -> None:
    cutter = StopCutter(stops)
    said = "".join(cutter.add(piece) for piece in pieces)
    # Whatever comes next, letter by letter: a stop text never begins in what was said.
    for letter in more:
        said_before, was_stopped = said, cutter.is_stopped
        said += cutter.add(letter)
        assert said.startswith(said_before)
        assert not (was_stopped and said != said_before)
    assert not any(stop in said for stop in stops)


def test_a_text_is_said_at_once_where_no_stop_can_begin() -> None:
    cutter = StopCutter(["stop!"])
    assert cutter.add("go on, s") == "go on, "
    assert cutter.add("t") == ""
    assert cutter.add("and so") == "stand so"
    assert cutter.add(" it goes on") == " it goes on"
    assert cutter.add(" st") == " "
    assert cutter.add("op! gone") == ""
    assert cutter.is_stopped
    assert cutter.add("more") == ""
    assert cutter.rest() == ""


def test_what_was_kept_back_is_said_at_the_end() -> None:
    cutter = StopCutter(["stop"])
    assert cutter.add("to") == "to"
    assert cutter.add("p sto") == "p "
    assert cutter.rest() == "sto"
    assert cutter.rest() == ""


@given(st.text("abc"), st.lists(st.text("abc", min_size=1), max_size=3))
def test_nothing_of_a_stop_text_is_left(text: str, stop: list[str]) -> None:
    cut, is_stopped = cut_at_stop(text, stop)
    assert text.startswith(cut)
    assert not any(each in cut for each in stop)
    assert is_stopped == any(each in text for each in stop)


@given(st.text("ab", max_size=12), st.lists(st.text("ab", min_size=1, max_size=4), max_size=3))
def test_what_is_streamed_has_no_stop_text_in_it(text: str, stop: list[str]) -> None:
    said = "".join(streamed(text, stop))
    assert text.startswith(said)
    assert not any(each in said for each in stop)
    if not any(each in text for each in stop):
        assert said == text


@given(st.text("ab", max_size=12), st.text("ab", min_size=1, max_size=4))
def test_what_is_streamed_is_what_is_answered(text: str, stop: str) -> None:
    assert "".join(streamed(text, [stop])) == cut_at_stop(text, [stop])[0]
