"""Models keep their signatures when they are copied: what was trusted stays so, and only that."""

from __future__ import annotations

from pathlib import Path

import pytest

import headrace
from headrace.client.model_loading import load_pyfunc, local_model
from headrace.errors import NotTrusted
from headrace.models.trust import SIGNATURE_FILE
from headrace.models.trust.own_key import signing_key
from headrace.models.trust.signers import add_signer
from headrace.pyfunc import PythonModel
from headrace.sync.between import Addresses, copy_between
from headrace.sync.plan import Choice
from tests.fixtures.servers import ServerLauncher


class Doubling(PythonModel):
    """A model that can only be pickled, so that loading it needs trust."""

    def predict(self, context: object, model_input: list[int], params: object = None) -> list[int]:
        return [2 * each for each in model_input]


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADRACE_KEYS", str(tmp_path / "ann"))
    monkeypatch.setenv("HEADRACE_CACHE", str(tmp_path / "cache"))


def test_signatures_stay(
    tmp_path: Path, start_server: ServerLauncher, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"sqlite:///{tmp_path}/source.db"
    headrace.set_tracking_uri(source)
    with headrace.start_run():
        info = headrace.pyfunc.log_model(
            name="doubling",
            python_model=Doubling(),
            registered_model_name="doubling",
            pip_requirements=["cloudpickle"],
        )
    headrace.flush()
    signature = (local_model(info.model_uri) / SIGNATURE_FILE).read_bytes()
    there = start_server().url
    outcome = copy_between(Addresses(source, there), Choice((), files=True))
    assert not outcome.problems, outcome
    headrace.set_tracking_uri(there)
    for uri in (info.model_uri, "models:/doubling/1"):
        assert (local_model(uri) / SIGNATURE_FILE).read_bytes() == signature
        assert load_pyfunc(uri).predict([1, 2]) == [2, 4]
    ann = signing_key().public
    # To somebody else, Ann's model is not to be run, until Ann is trusted.
    monkeypatch.setenv("HEADRACE_KEYS", str(tmp_path / "ben"))
    with pytest.raises(NotTrusted, match=ann.fingerprint):
        load_pyfunc(info.model_uri)
    add_signer("ann", ann)
    assert load_pyfunc(info.model_uri).predict([3]) == [6]
