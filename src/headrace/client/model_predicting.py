"""Predicting with a model by its URI, here or in an environment of what it needs, as JSON.

The names and arguments of `mlflow.models.predict`, `validate_serving_input` and
`load_serving_example`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from headrace.client.model_loading import load_pyfunc, local_model
from headrace.errors import InvalidRequest, NotFound
from headrace.models import loading
from headrace.models.examples import convert_input_example_to_serving_input
from headrace.models.payload import Payload, decode_csv, decode_payload
from headrace.models.predictions import encode_predictions
from headrace.models.pyfunc import PyFuncModel

LOCAL: Final = "local"
ENV_MANAGERS: Final = ("uv", "virtualenv", LOCAL)
"""uv makes environments; virtualenv is MLflow's word, which does the same here."""
_NOT_PASSED: Final = frozenset(("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"))
_SHOWN: Final = 2000


def predict(  # noqa: PLR0913, PLR0917 - MLflow's signature
    model_uri: str | Path,
    input_data: Any = None,
    input_path: str | Path | None = None,
    content_type: Literal["json", "csv"] = "json",
    output_path: str | Path | None = None,
    env_manager: str = "virtualenv",
    install_mlflow: bool = False,  # noqa: ARG001 - MLflow's signature; Headrace loads the model
    pip_requirements_override: Sequence[str] | None = None,
    extra_envs: Mapping[str, str] | None = None,
    *,
    trust: bool = False,
) -> None:
    """Predict in an environment of what the model needs, and print the answer, or write it.

    The input is an object as `PyFuncModel.predict` takes it, or a file: a request in JSON as
    scoring servers take it, or CSV with a header. `pip_requirements_override` replaces the
    model's own requirements for the same packages; `extra_envs` are environment variables. With
    `env_manager="local"` it runs in this process. InvalidRequest; NotTrusted for a model that may
    run code, here or when it is installed, and is signed by nobody who is trusted.
    """
    data = _request(input_data, input_path, content_type)
    if env_manager not in ENV_MANAGERS:
        raise InvalidRequest(
            f"'env_manager' is {env_manager!r}; expected {', '.join(map(repr, ENV_MANAGERS))}."
        )
    if env_manager == LOCAL and (pip_requirements_override or extra_envs):
        raise InvalidRequest(
            "'pip_requirements_override' and 'extra_envs' are for an environment of the model's "
            "own; leave out env_manager='local'."
        )
    folder = local_model(model_uri)
    if env_manager == LOCAL:
        text = predictions_of(folder, data, content_type, trust=trust)
    else:
        text = _elsewhere(
            folder, data, content_type, list(pip_requirements_override or ()), extra_envs, trust
        )
    if output_path is None:
        sys.stdout.write(f"{text}\n")
    else:
        Path(output_path).write_text(text, encoding="utf-8")


def validate_serving_input(
    model_uri: str | Path, serving_input: str | dict[str, Any], *, trust: bool = False
) -> Any:
    """What a model predicts for a request as scoring servers take it. InvalidRequest says what of
    the request does not fit.
    """
    model = load_pyfunc(model_uri, trust=trust)
    payload = _payload(model, serving_input)
    return model.predict(payload.data, payload.params)


def load_serving_example(model_uri_or_path: str | Path) -> str:
    """The request, as JSON text, that the model's input example makes. NotFound without one."""
    folder, model = loading.open_model(local_model(model_uri_or_path))
    name = (model.saved_input_example_info or {}).get("serving_input_path")
    if name is None:
        raise NotFound(f"The model '{model_uri_or_path}' was saved without an input example.")
    return folder.read(str(name)).decode()


def predictions_of(folder: Path, data: bytes, content_type: str, *, trust: bool = False) -> str:
    """What the model in `folder` predicts for the bytes of a request, as the text of an answer."""
    model = loading.load_pyfunc(folder, trust=trust)
    if content_type == "csv":
        payload = Payload(decode_csv(data.decode("utf-8-sig", "replace"), model.signature))
    else:
        payload = _payload(model, data)
    predictions = model.predict(payload.data, payload.params)
    return encode_predictions(predictions, is_unwrapped=payload.is_unwrapped)


def predicting(
    python: Path, folder: Path, content_type: str, *, trust: bool, variables: Mapping[str, str]
) -> tuple[list[str], dict[str, str]]:
    """The words and variables of a process that predicts with a model in an environment; more
    options of `headrace models predict` may be added to the words.
    """
    # -P: what lies in the working folder is not imported.
    words = [str(python), "-P", "-m", "headrace", "models", "predict", "-m", str(folder)]
    words += ["-t", content_type, "--env-manager", LOCAL, *(["--trust"] if trust else [])]
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_PASSED}
    return words, {**inherited, **variables}


def _elsewhere(
    folder: Path,
    data: bytes,
    content_type: str,
    override: list[str],
    variables: Mapping[str, str] | None,
    trust: bool,
) -> str:
    from headrace.models.environment.prepare import prepare

    python = prepare(folder, override=override, trust=trust).python
    words, env = predicting(python, folder, content_type, trust=trust, variables=variables or {})
    ended = subprocess.run(  # noqa: S603 - the Python that was made for it, no shell
        words, env=env, input=data, capture_output=True, check=False
    )
    if ended.returncode:
        said = ended.stderr.decode(errors="replace").strip()[-_SHOWN:]
        raise InvalidRequest(f"The model did not predict in its environment: {said}")
    return ended.stdout.decode().rstrip("\n")


def _payload(model: PyFuncModel, request: bytes | str | dict[str, Any]) -> Payload:
    hinted = model.metadata.is_signature_from_type_hint
    return decode_payload(request, model.signature, from_type_hints=hinted)


def _request(data: Any, path: str | Path | None, content_type: str) -> bytes:
    """The bytes of a request, of an object or a file."""
    if content_type not in ("json", "csv"):
        raise InvalidRequest(f"'content_type' is {content_type!r}; expected 'json' or 'csv'.")
    if (data is None) == (path is None):
        raise InvalidRequest("Give one of 'input_data' and 'input_path'.")
    if path is not None:
        try:
            return Path(path).read_bytes()
        except OSError as error:
            raise InvalidRequest(f"'{path}' cannot be read: {error.strerror}.") from None
    if content_type == "json":
        return str(convert_input_example_to_serving_input(data)).encode()
    return data.encode() if isinstance(data, str) else _as_csv(data)


def _as_csv(data: Any) -> bytes:
    import pandas as pd

    try:
        return str(pd.DataFrame(data).to_csv(index=False)).encode()
    # pandas has errors of many kinds for what makes no table.
    except (ValueError, TypeError, AttributeError) as error:
        raise InvalidRequest(f"'input_data' makes no table: {error}.") from None
