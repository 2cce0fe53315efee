"""The notes of a sender: each once, found again by another, torn lines left out."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.client.entries import (
    ArtifactLogged,
    Entry,
    InputsLogged,
    Logged,
    RunCreated,
    decode,
    encode,
)
from headrace.client.ledger import REFUSED, Ledger, SenderState, describe, refusal
from headrace.errors import InvalidRequest
from headrace.protocol.datasets import LogInputs
from headrace.protocol.metrics import Metric
from headrace.protocol.runs import CreateRun, LogBatch
from headrace.protocol.wire import Param, Tag


def logged(**values: str) -> Logged:
    params = [Param(key, value) for key, value in values.items()]
    return Logged(LogBatch(run_id="run", params=params))


def note(ledger: Ledger, entry: Entry, writer: str = "writer") -> None:
    ledger.note_refusal(refusal("run", entry, InvalidRequest("No."), writer))


def test_a_refusal_is_noted_once_and_can_be_sent_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    note(ledger, logged(lr="1"))
    note(ledger, logged(lr="1"))
    note(Ledger(tmp_path), logged(lr="1"))  # by a sender that came after
    note(ledger, logged(lr="2"))
    note(ledger, logged(lr="1"), writer="another")
    found = list(ledger.refusals())
    assert [(each.writer, decode(bytes(each.entry))) for each in found] == [
        ("writer", logged(lr="1")),
        ("writer", logged(lr="2")),
        ("another", logged(lr="1")),
    ]
    assert found[0].reason == "No."
    assert found[0].error_code == "INVALID_PARAMETER_VALUE"
    assert ledger.refused_bytes() == (tmp_path / REFUSED).stat().st_size
    since = ledger.refused_bytes()
    note(ledger, logged(lr="3"))
    assert [bytes(each.entry) for each in ledger.refusals(since)] == [encode(logged(lr="3"))]
    assert (tmp_path / REFUSED).stat().st_mode & 0o777 == 0o600


def test_a_line_that_a_power_cut_tore_hides_no_other(tmp_path: Path) -> None:
    note(Ledger(tmp_path), logged(lr="1"))
    with (tmp_path / REFUSED).open("ab") as file:
        file.write(b'{"run_id": "to\n')
    note(Ledger(tmp_path), logged(lr="2"))
    with (tmp_path / REFUSED).open("ab") as file:
        file.write(b'{"half')
    assert len(list(Ledger(tmp_path).refusals())) == 2


def test_what_was_taken_is_noted_anew_when_it_is_refused_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    note(ledger, logged(lr="1"))
    note(ledger, logged(lr="2"))
    for _ in ledger.take_refusals():
        break  # the one who took them dies: all of it is taken again
    taken = []
    for each in Ledger(tmp_path).take_refusals():
        taken.append(bytes(each.entry))
        if len(taken) == 1:
            note(ledger, logged(lr="1"))
    assert taken == [encode(logged(lr="1")), encode(logged(lr="2"))]
    assert [bytes(each.entry) for each in ledger.refusals()] == [encode(logged(lr="1"))]
    assert len(list(ledger.take_refusals())) == 1
    assert list(ledger.take_refusals()) == []


@given(st.dictionaries(st.text("abc", min_size=1), st.text("xyz", min_size=1)))
def test_run_ids_are_known_to_every_ledger_of_the_folder(
    tmp_path_factory: pytest.TempPathFactory, ids: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("ledger")
    writes, reads = Ledger(folder), Ledger(folder)
    for ours, theirs in ids.items():
        assert reads.run_id(ours) == ours
        writes.note_run_id(ours, theirs)
        assert writes.run_id(ours) == reads.run_id(ours) == theirs
    assert {ours: Ledger(folder).run_id(ours) for ours in ids} == ids


def test_the_destination_and_the_state_are_replaced_whole(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert ledger.destination() is None
    assert ledger.state() is None
    ledger.note_destination("http://first")
    ledger.note_destination("http://second")  # a folder has one
    ledger.note_state(SenderState(1, 2, "away"))
    ledger.note_state(SenderState(1))
    assert Ledger(tmp_path).destination() == "http://first"
    assert Ledger(tmp_path).state() == SenderState(1)
    for path in tmp_path.glob("*.json"):
        path.write_bytes(b"{")
    assert Ledger(tmp_path).destination() is None
    assert Ledger(tmp_path).state() is None


def test_a_record_that_cannot_be_read_is_kept_as_it_is(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.note_unreadable("writer", b"\xff\x00?", "not JSON")
    (found,) = ledger.refusals()
    kept = msgspec.json.decode(bytes(found.entry), type=dict[str, str])
    assert msgspec.convert(kept["record"], bytes) == b"\xff\x00?"
    assert (found.reason, found.writer) == ("not JSON", "writer")


def test_a_refused_file_is_kept(tmp_path: Path) -> None:
    (tmp_path / "writer").mkdir()
    file = tmp_path / "writer" / "1-1"
    file.write_text("content")
    kept = Ledger(tmp_path).keep_file("writer", file)
    assert (tmp_path / kept).read_text() == "content"
    assert not file.exists()
    assert Ledger(tmp_path).keep_file("writer", file) == ""


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (logged(lr="1"), "parameter 'lr'"),
        (
            Logged(
                LogBatch(
                    run_id="r",
                    metrics=[Metric("m", 0.5, 1, n) for n in range(7)],
                    tags=[Tag("a", "b")],
                )
            ),
            "metric 'm' (7 values); tag 'a'",
        ),
        (logged(a="", b="", c="", d=""), "parameter 'a', 'b', 'c' … (4 values)"),
        (Logged(LogBatch(run_id="r")), "nothing"),
        (ArtifactLogged("r", "plots/a.png", "files/1"), "the artifact 'plots/a.png'"),
        (RunCreated(CreateRun(experiment_id="0")), "the run itself"),
        (InputsLogged(LogInputs(run_id="r")), "inputs"),
    ],
)
def test_an_entry_in_a_few_words_without_its_values(entry: Entry, words: str) -> None:
    assert describe(entry) == words
