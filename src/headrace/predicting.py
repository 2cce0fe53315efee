"""Predicting with a model by its URI, in an environment of what it needs, as JSON.

The names and arguments of `mlflow.models.predict`, `validate_serving_input` and
`load_serving_example`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Literal

from headrace.client.model_loading import load_pyfunc, local_model
from headrace.errors import InvalidRequest, NotFound
from headrace.models import loading
from headrace.models.environment.prepare import prepare
from headrace.models.examples import convert_input_example_to_serving_input
from headrace.models.payload import decode_payload
from headrace.serving.once import predict_once, read_input
from headrace.serving.worker.calls import CSV, JSON, Call

LOCAL: Final = "local"
ENV_MANAGERS: Final = ("uv", "virtualenv", LOCAL)
"""uv makes environments; virtualenv is MLflow's word, which does the same here."""
CONTENT_TYPES: Final = {"json": JSON, "csv": CSV}
"""What an input may be, by MLflow's names."""


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
    model's own requirements for the same packages; `extra_envs` are environment variables of the
    process that predicts. With `env_manager="local"` that is one of this Python, with what is
    installed here.
    InvalidRequest; NotTrusted for a model that may run code, here or when it is installed, and is
    signed by nobody who is trusted; others as of `serving.once.predict_once`.
    """
    output = None if output_path is None else Path(output_path)
    check_output(output)
    body = _request(input_data, input_path, content_type)
    if env_manager not in ENV_MANAGERS:
        raise InvalidRequest(
            f"'env_manager' is {env_manager!r}; expected {', '.join(map(repr, ENV_MANAGERS))}."
        )
    if env_manager == LOCAL and pip_requirements_override:
        raise InvalidRequest(
            "'pip_requirements_override' is for an environment of the model's own; leave out "
            "env_manager='local'."
        )
    folder = local_model(model_uri)
    if env_manager == LOCAL:
        python = Path(sys.executable)
    else:
        python = prepare(folder, override=pip_requirements_override or (), trust=trust).python
    call = Call("invocations", body, CONTENT_TYPES[content_type])
    answer = predict_once(folder, call, python, trust=trust, variables=extra_envs)
    if output is None:
        sys.stdout.write(f"{answer.decode()}\n")
    else:
        write_answer(output, answer)


def check_output(path: Path | None) -> None:
    """InvalidRequest where an answer could not be written, before somebody waits for it."""
    if path is not None and not path.parent.is_dir():
        raise InvalidRequest(f"'{path}' cannot be written: there is no folder '{path.parent}'.")


def write_answer(path: Path, answer: bytes) -> None:
    """Write an answer to a file, a device or a pipe. Raises OSError, and leaves no half of one."""
    file = path.open("wb")  # what cannot be opened stays as it is
    try:
        with file:
            file.write(answer)
    except OSError:
        if path.is_file():
            with suppress(OSError):  # the first error says more
                path.unlink()
        raise


def validate_serving_input(
    model_uri: str | Path, serving_input: str | dict[str, Any], *, trust: bool = False
) -> Any:
    """What a model predicts, in this process, for a request as scoring servers take it.
    InvalidRequest says what of the request does not fit.
    """
    model = load_pyfunc(model_uri, trust=trust)
    hinted = model.metadata.is_signature_from_type_hint
    payload = decode_payload(serving_input, model.signature, from_type_hints=hinted)
    return model.predict(payload.data, payload.params)


def load_serving_example(model_uri_or_path: str | Path) -> str:
    """The request, as JSON text, that the model's input example makes. NotFound without one."""
    folder, model = loading.open_model(local_model(model_uri_or_path))
    name = (model.saved_input_example_info or {}).get("serving_input_path")
    if name is None:
        raise NotFound(f"The model '{model_uri_or_path}' was saved without an input example.")
    return folder.read(str(name)).decode()


def _request(data: Any, path: str | Path | None, content_type: str) -> bytes:
    """The bytes of a request, of an object or a file."""
    if content_type not in CONTENT_TYPES:
        raise InvalidRequest(f"'content_type' is {content_type!r}; expected 'json' or 'csv'.")
    if (data is None) == (path is None):
        raise InvalidRequest("Give one of 'input_data' and 'input_path'.")
    if path is not None:
        try:
            with Path(path).open("rb") as file:
                return read_input(file)
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
