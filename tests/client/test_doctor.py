"""What `doctor` prints."""

from __future__ import annotations

import sys

import pytest

import headrace


def test_versions_and_settings_and_no_secret(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "hunter2")
    monkeypatch.setenv("HEADRACE_REGISTRY_URI", "https://ada:hunter2@example.org")
    monkeypatch.setenv("HEADRACE_HTTP_TIMEOUT", "7")
    with headrace.start_run() as run:
        headrace.doctor()
    printed = capsys.readouterr().out
    facts = dict(line.split(": ", 1) for line in printed.splitlines())
    assert facts["Headrace"] == headrace.__version__
    assert facts["Tracking URI"] == database
    assert facts["Active run"] == run.info.run_id
    assert facts["Setting HEADRACE_HTTP_TIMEOUT"] == "7"
    assert facts["Setting MLFLOW_TRACKING_PASSWORD"] == "***"
    assert facts["Package msgspec"] == sys.modules["msgspec"].__version__
    assert "hunter2" not in printed
    headrace.doctor(mask_envs=True)
    assert "Setting HEADRACE_HTTP_TIMEOUT: ***" in capsys.readouterr().out
