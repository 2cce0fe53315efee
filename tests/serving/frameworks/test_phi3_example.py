"""examples/phi3 as its README says: both ways run, asked in Python, on the command line, served."""

from __future__ import annotations

import json
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

import headrace
from headrace.client.model_loading import load_pyfunc, local_model
from tests.fixtures.child_process import start_child
from tests.serving.served import ServingProcess

openai = pytest.importorskip("openai")
pytest.importorskip("onnxruntime_genai")
pytest.importorskip("transformers")
torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.heavy,
    pytest.mark.timeout(300),
    # transformers' own.
    pytest.mark.filterwarnings("ignore"),
]
EXAMPLE = Path(__file__).parents[3] / "examples" / "phi3"
KNOWN: dict[str, str] = runpy.run_path(str(EXAMPLE / "tiny.py"))["KNOWN"]
QUESTION, ANSWER = next(iter(KNOWN.items()))
HEADRACE = Path(sys.executable).with_name("headrace")
CHATS = {"torch": "models:/phi3/1", "int4": "models:/phi3/2", "fp32": "models:/phi3/3"}
"""The versions that the scripts register, in the order in which they run below."""
WRAPPERS = {"int4": "models:/phi3-wrapper/1", "fp32": "models:/phi3-wrapper/2"}


def prompt(question: str) -> str:
    return f"<|user|>\n{question}<|end|>\n<|assistant|>\n"


def chat(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


def ran(folder: Path, script: str, *words: str) -> str:
    """What a script prints on stdout when it is run in `folder`."""
    done = subprocess.run(
        [sys.executable, EXAMPLE / script, *words],
        cwd=folder,
        # Another test of this process may have said where its programs track.
        env={**os.environ, "HEADRACE_TRACKING_URI": f"sqlite:///{folder}/headrace.db"},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the scripts of both ways have printed; "folder" is where they ran."""
    folder = tmp_path_factory.mktemp("phi3-example")
    return {
        "folder": str(folder),
        "torch": ran(folder, "way1_transformers.py"),
        "int4": ran(folder, "way2_onnx.py"),
        "fp32": ran(folder, "way2_onnx.py", "--precision", "fp32"),
    }


@pytest.fixture
def folder(said: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the scripts ran; what is tracked there is what this process sees, too."""
    made = Path(said["folder"])
    monkeypatch.setenv("HEADRACE_TRACKING_URI", f"sqlite:///{made}/headrace.db")
    return made


@pytest.fixture
def one_thread() -> Iterator[None]:
    """The model is too small for more threads, which only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def serve(folder: Path, *words: str) -> ServingProcess:
    """`headrace models serve` as a user types it, in the folder of the example."""
    log = folder / f"serve-{len(list(folder.glob('serve-*.log')))}.log"
    command = [str(HEADRACE), "models", "serve", "--port", "0", *words]
    process = start_child(command, log=log, parent_death_signal=signal.SIGKILL, cwd=folder)
    server = ServingProcess(process, log)
    try:
        server.wait_for("Stop it with Ctrl-C")
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    server.address = server.log.partition("Headrace serves ")[2].split()[0]
    return server


@pytest.fixture(scope="module")
def server(said: dict[str, str]) -> Iterator[ServingProcess]:
    """One server of all models."""
    named = [f"{name}={uri}" for name, uri in CHATS.items()]
    named += [f"wrapper-{name}={uri}" for name, uri in WRAPPERS.items()]
    running = serve(Path(said["folder"]), *(word for each in named for word in ("-m", each)))
    yield running
    sys.stderr.write(running.log)
    assert running.stop() == 0


@pytest.mark.parametrize("name", CHATS)
def test_the_scripts_say_what_they_did(said: dict[str, str], name: str) -> None:
    assert said[name].count(f"> {QUESTION}\n   {ANSWER}\n") == (1 if name == "torch" else 2)
    assert "headrace models serve -m models:/phi3" in said[name]


@pytest.mark.parametrize(
    "script",
    ["tiny.py", "way1_transformers.py", "way2_onnx.py", "ask.py", "promote.py"],
)
def test_every_script_explains_itself(tmp_path: Path, script: str) -> None:
    assert "usage: " + script in ran(tmp_path, script, "--help")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["way1_transformers.py", "--model", "./nowhere"], "There is no folder ./nowhere, and "),
        (["way2_onnx.py", "--model", "nobody/nothing"], "nobody/nothing could not be fetched: "),
        (["ask.py", "--url", "http://127.0.0.1:9/v1"], "Nobody answers at http://127.0.0.1:9/v1."),
        (["promote.py", "phi3", "77"], "It stays as it was: "),
    ],
)
def test_what_is_not_there_is_named(tmp_path: Path, words: list[str], told: str) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE / words[0]), *words[1:]],
        cwd=tmp_path,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_way_1_is_written_as_mlflow_writes_it(folder: Path) -> None:
    model = yaml.safe_load((local_model(CHATS["torch"]) / "MLmodel").read_text())
    flavor, pyfunc = model["flavors"]["transformers"], model["flavors"]["python_function"]
    assert flavor["inference_task"] == "llm/v1/chat"
    assert flavor["instance_type"] == "TextGenerationPipeline"
    assert flavor["pipeline_model_type"] == "Phi3ForCausalLM"
    assert (flavor["task"], flavor["components"]) == ("text-generation", ["tokenizer"])
    assert (flavor["model_binary"], flavor["source_model_name"]) == ("model", "tiny-phi3")
    assert pyfunc["loader_module"] == "mlflow.transformers"
    assert pyfunc["config"] == {"do_sample": False, "max_new_tokens": 300}
    assert model["metadata"] == {"task": "llm/v1/chat"}
    assert (model["mlflow_version"], model["prompts"]) == ("3.17.2", None)
    fields = {each["name"]: each for each in json.loads(model["signature"]["inputs"])}
    assert list(fields) == [
        *("messages", "temperature", "max_tokens", "stop", "n", "stream", "top_p", "top_k"),
        *("frequency_penalty", "presence_penalty", "tools", "custom_inputs"),
    ]
    assert [name for name, field in fields.items() if field["required"]] == ["messages"]
    answered = [each["name"] for each in json.loads(model["signature"]["outputs"])]
    assert answered == ["id", "object", "created", "model", "choices", "usage", "custom_outputs"]


@pytest.mark.parametrize("precision", WRAPPERS)
def test_way_2_is_written_as_mlflow_writes_it(folder: Path, precision: str) -> None:
    saved = local_model(WRAPPERS[precision])
    model = yaml.safe_load((saved / "MLmodel").read_text())
    built = f"phi3-onnx-tiny-phi3-{precision}"
    pyfunc = model["flavors"]["python_function"]
    assert list(model["flavors"]) == ["python_function"]
    assert pyfunc["artifacts"] == {"phi3-mini-onnx": {"path": f"artifacts/{built}", "uri": built}}
    assert pyfunc["loader_module"] == "mlflow.pyfunc.model"
    assert (pyfunc["python_model"], pyfunc["code"]) == ("python_model.pkl", None)
    assert pyfunc["streamable"] is False
    assert model["saved_input_example_info"] == {
        "artifact_path": "input_example.json",
        "serving_input_path": "serving_input_example.json",
        "type": "json_object",
    }
    assert json.loads(model["signature"]["inputs"]) == [
        {"type": "string", "name": "prompt", "required": True}
    ]
    assert json.loads(model["signature"]["outputs"]) == [{"type": "string", "required": True}]
    assert model["signature"]["params"] is None
    requirements = (saved / "requirements.txt").read_text()
    assert "\nonnxruntime-genai==" in requirements
    assert "torch" not in requirements


@pytest.mark.parametrize("name", CHATS)
def test_torch_and_onnx_give_the_same_answers(folder: Path, one_thread: None, name: str) -> None:
    model = load_pyfunc(CHATS[name])
    for question, answer in KNOWN.items():
        (response,) = model.predict({"messages": chat(question)})
        assert response["choices"][0]["message"]["content"] == answer
        assert response["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("precision", WRAPPERS)
def test_the_wrapper_gives_them_too(folder: Path, precision: str) -> None:
    model = load_pyfunc(WRAPPERS[precision])
    for question, answer in KNOWN.items():
        assert model.predict({"prompt": prompt(question)}) == [answer]
    many = model.predict(pd.DataFrame({"prompt": [prompt(question) for question in KNOWN]}))
    assert many == list(KNOWN.values())


@pytest.mark.parametrize(
    ("uri", "body"),
    [
        *((uri, {"messages": chat(QUESTION)}) for uri in CHATS.values()),
        (WRAPPERS["int4"], {"inputs": {"prompt": prompt(QUESTION)}}),
    ],
)
def test_on_the_command_line(folder: Path, uri: str, body: dict[str, Any]) -> None:
    command = [str(HEADRACE), "models", "predict", "-m", uri, "--env-manager", "local"]
    done = subprocess.run(
        command, cwd=folder, input=json.dumps(body), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    if "messages" in body:
        assert found[0]["choices"][0]["message"]["content"] == ANSWER
    else:
        assert found == {"predictions": [ANSWER]}


@pytest.mark.parametrize("name", CHATS)
def test_invocations_answer_with_an_object(server: ServingProcess, name: str) -> None:
    for question, answer in KNOWN.items():
        body = json.dumps({"messages": chat(question)}).encode()
        answered = server.ask(body, path=f"/models/{name}/invocations")
        assert answered.status == 200, answered.body
        assert answered.json()["object"] == "chat.completion"
        assert answered.json()["choices"][0]["message"]["content"] == answer


@pytest.mark.parametrize("name", CHATS)
def test_openais_client_is_answered(server: ServingProcess, name: str) -> None:
    client = openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0)
    for question, answer in KNOWN.items():
        whole = client.chat.completions.create(model=name, messages=chat(question))
        assert whole.choices[0].message.content == answer
        assert whole.choices[0].finish_reason == "stop"
        chunks = list(
            client.chat.completions.create(
                model=name,
                messages=chat(question),
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        choices = [choice for chunk in chunks for choice in chunk.choices]
        assert "".join(choice.delta.content or "" for choice in choices) == answer
        assert [choice.finish_reason for choice in choices if choice.finish_reason] == ["stop"]
        assert chunks[-1].usage == whole.usage


@pytest.mark.parametrize("precision", WRAPPERS)
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("form", ["dataframe_split", "dataframe_records", "inputs", "instances"])
def test_the_wrapper_is_served(
    server: ServingProcess, precision: str, form: str, count: int
) -> None:
    prompts = [prompt(question) for question in list(KNOWN)[:count]]
    records = [{"prompt": each} for each in prompts]
    body: dict[str, Any] = {
        "dataframe_split": {"columns": ["prompt"], "data": [[each] for each in prompts]},
        "dataframe_records": records,
        "inputs": {"prompt": prompts if count > 1 else prompts[0]},
        "instances": records,
    }
    sent = json.dumps({form: body[form]}).encode()
    answered = server.ask(sent, path=f"/models/wrapper-{precision}/invocations")
    assert answered.status == 200, answered.body
    assert answered.json() == {"predictions": list(KNOWN.values())[:count]}


def test_ask_asks_as_the_readme_says(server: ServingProcess, folder: Path) -> None:
    where = ["--url", f"{server.address}/v1", "--model", "int4"]
    for question in (QUESTION, "Who are you?"):
        whole = ran(folder, "ask.py", *where, question)
        assert whole.startswith(f"> {question}\n{KNOWN[question]}\n(stop; ")
        streamed = ran(folder, "ask.py", *where, "--stream", question)
        assert streamed.startswith(f"> {question}\n{KNOWN[question]}\n(first piece after ")
    command = ran(folder, "ask.py", *where, "--curl", "Who are you?")
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["choices"][0]["message"]["content"] == KNOWN["Who are you?"]


def test_promoting_swaps_without_a_dropped_request(folder: Path) -> None:
    server = serve(folder, "-m", "models:/phi3@prod")
    client = openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0)
    answers: list[str] = []
    failures: list[Exception] = []
    enough = threading.Event()

    def ask() -> None:
        while not enough.is_set():
            try:
                got = client.chat.completions.create(model="phi3", messages=chat(QUESTION))
            except openai.OpenAIError as error:
                failures.append(error)
                return
            answers.append(got.choices[0].message.content)

    callers = [threading.Thread(target=ask) for _ in range(3)]
    try:
        for caller in callers:
            caller.start()
        assert answered_by(server) == "tiny-phi3"
        said = ran(folder, "promote.py", "phi3", "2")
        assert said == "models:/phi3@prod was 1, and is now 2.\n"
        server.wait_for("models:/phi3/2 answers now")
        assert answered_by(server) == "phi3-onnx-tiny-phi3-int4"
    finally:
        enough.set()
        for caller in callers:
            caller.join()
        sys.stderr.write(server.log)
        assert server.stop() == 0
        headrace.MlflowClient().set_registered_model_alias("phi3", "prod", 1)
    assert not failures
    assert len(answers) > len(callers)
    assert set(answers) == {ANSWER}


def answered_by(server: ServingProcess) -> str:
    """The name that the answering version says it has."""
    answered = server.ask(json.dumps({"messages": chat(QUESTION)}).encode())
    return str(answered.json()["model"])
