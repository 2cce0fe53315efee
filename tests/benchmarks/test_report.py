from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.__main__ import NAMES, main, quantities_of, serving_quantities_of
from benchmarks.machine import Machine
from benchmarks.measurements import Measurements, Quantity
from benchmarks.peers import PEERS
from benchmarks.report import Report, Table
from benchmarks.serving_peers import SERVING_PEERS

RATE = Quantity("rate", "writes", "requests/s", higher_is_better=True, targets={"mlflow": 80})
TIME = Quantity("time", "a search", "ms", targets={"mlflow": 10, "fasttrackml": 1})
SIZE = Quantity("size", "a point", "bytes", at_most=40)
SPEED = Quantity("speed", "a download", "%", higher_is_better=True, at_least=40)
MACHINE = Machine(2, "a processor", 24.0, "6.0", "3.11.9", 130.0, 0.1)


def report(samples: dict[str, dict[str, list[float]]]) -> Report:
    found = Measurements(samples=samples)
    found.fail(["time"], "fasttrackml", "it did\nnot start")
    peers = [PEERS[name] for name in ("headrace", "mlflow", "fasttrackml")]
    return Report(
        tables=[
            Table("Writes", [RATE, TIME], peers, found),
            Table("Sizes", [SIZE, SPEED], peers, found),
        ],
        versions={"mlflow": "3.17.2"},
        machine=MACHINE,
        measurements=found,
        date="2026-01-01",
        settings="3 rounds",
        minutes=12.0,
    )


def test_ratios_are_of_medians_and_a_time_is_better_when_shorter() -> None:
    made = report(
        {
            "rate": {"headrace": [4_000, 9_000, 8_000], "mlflow": [100, 90, 110]},
            "time": {"headrace": [10.0], "mlflow": [99.0]},
            "size": {"headrace": [40.0]},
            "speed": {"headrace": [39.9]},
        }
    )
    assert [
        [v.text for v in table.verdicts(q)] for table in made.tables for q in table.quantities
    ] == [
        ["✓ 80.0x MLflow (≥ 80x)"],
        ["✗ 9.9x MLflow (≥ 10x)", "≥ 1x FastTrackML: not measured"],
        ["✓ ≤ 40 bytes"],
        ["✗ ≥ 40 %"],
    ]
    assert made.summary() == "2 of 5 targets met, 1 not measured"


def test_what_was_not_measured_is_not_made_up(tmp_path: Path) -> None:
    made = report({"rate": {"mlflow": [100.0]}})
    assert made.tables[0].rows()[0] == [
        "writes, requests/s",
        "-",
        "100",
        "-",
        "≥ 80x MLflow: not measured",
    ]
    assert made.tables[0].rows()[1][3] == "failed"
    made.write(tmp_path / "RESULTS.md")
    text = (tmp_path / "RESULTS.md").read_text(encoding="utf-8")
    assert "- time: fasttrackml: it did not start" in text
    assert "**0 of 5 targets met, 5 not measured.**" in text
    assert text.count("- MLflow 3.17.2") == 1
    assert text.index("## Writes") < text.index("| a search, ms |") < text.index("## Sizes")
    output = io.StringIO()
    made.print(Console(file=output, width=140))
    assert "0 of 5 targets met" in output.getvalue()


def test_every_quantity_has_a_key_of_its_own() -> None:
    tracking, serving = quantities_of(NAMES), serving_quantities_of(NAMES)
    keys = [quantity.key for quantity in (*tracking, *serving)]
    assert len(keys) == len(set(keys))
    assert {name for quantity in tracking for name in quantity.targets} <= set(PEERS)
    assert {name for quantity in serving for name in quantity.targets} <= set(SERVING_PEERS)


def test_an_unknown_figure_is_refused_with_the_known_ones(
    capsys: pytest.CaptureFixture[str],
) -> None:

    with pytest.raises(SystemExit) as caught:
        main(["--only", "nonsense"])
    assert caught.value.code == 2
    assert "known are log_metric, log_batch" in capsys.readouterr().err
