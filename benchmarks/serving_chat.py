"""The chat servers that are compared, the tiny Phi-3 they serve, and how answers are timed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import statistics
import threading
import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load import Answer, Connection, LoadError
from benchmarks.peers import BENCH_FOLDER
from benchmarks.servers.chat import EXAMPLE
from benchmarks.serving_peers import (
    PROGRAMS,
    HeadraceServing,
    MLflowServing,
    ServingPeer,
    post,
    run_there,
)

PROGRAM = PROGRAMS / "chat.py"
ENVIRONMENT = BENCH_FOLDER.absolute() / "frameworks"
KINDS = ("torch", "onnx")
LENGTHS = ("short", "long")
MAX_TOKENS = 150
FIRST_PIECE = b'"content":"'
STREAM_LIMIT_S = 60.0


@dataclass(frozen=True)
class TinyChat:
    """The model's folder, and what it knows: questions and answers, short and long."""

    folder: Path
    answers: Mapping[str, Mapping[str, str]]


class ChatPeer(ServingPeer):
    """A server in the environment that has transformers and ONNX Runtime GenAI."""

    library: str
    """What `servers/chat.py` saves the model with."""

    @property
    def environment(self) -> Path:
        """Made by ``make frameworks-env``."""
        return ENVIRONMENT

    def save(self, kind: str, chat: TinyChat, folder: Path) -> None:
        """Save the model of a kind, `torch` or `onnx`, into ``folder``. Raises PeerError."""
        run_there(
            self,
            [str(PROGRAM), "save", self.library, kind, str(chat.folder), str(folder / "model")],
            folder,
        )

    @abstractmethod
    def question(self, kind: str, question: str) -> bytes:
        """The request of a question to the model of a kind."""

    def variables(self) -> Mapping[str, str]:
        """Programs are started by name, and no hub is asked."""
        return {
            **super().variables(),
            "PATH": f"{ENVIRONMENT / 'bin'}:{os.environ.get('PATH', '')}",
            "HF_HUB_OFFLINE": "1",
        }


class HeadraceChat(ChatPeer, HeadraceServing):
    """`headrace models serve`; OpenAI's API."""

    library = "headrace"
    path = "/v1/chat/completions"

    def question(self, kind: str, question: str) -> bytes:
        """Decoded greedily."""
        return post(self.path, json.dumps(conversation(question, temperature=0.0)).encode())

    def invoked(self, question: str) -> bytes:
        """The same in MLflow's protocol."""
        return post("/invocations", json.dumps(conversation(question, temperature=0.0)).encode())

    def streamed(self, question: str) -> bytes:
        """The request of a question whose answer comes in pieces."""
        asked = conversation(question, temperature=0.0, stream=True)
        return post(self.path, json.dumps(asked).encode())


class MLflowChat(ChatPeer, MLflowServing):
    """`mlflow models serve`; its own protocol."""

    library = "mlflow"

    def question(self, kind: str, question: str) -> bytes:
        """Without a temperature: it refuses 0, and is greedy anyway. The wrapper gets a prompt."""
        if kind == "torch":
            return post(self.path, json.dumps(conversation(question)).encode())
        prompt = f"<|user|>\n{question}<|end|>\n<|assistant|>\n"
        split = {"columns": ["prompt"], "data": [[prompt]]}
        return post(self.path, json.dumps({"dataframe_split": split}).encode())


CHAT_PEERS: dict[str, ChatPeer] = {peer.name: peer for peer in (HeadraceChat(), MLflowChat())}


def conversation(question: str, **more: object) -> dict[str, object]:
    """A chat request."""
    messages = [{"role": "user", "content": question}]
    return {"messages": messages, "max_tokens": MAX_TOKENS, **more}


def tiny_chat(peer: ChatPeer) -> TinyChat:
    """The model, which is made once for each version of the code that makes it (half a minute)."""
    code = PROGRAM.read_bytes() + EXAMPLE.read_bytes()
    version = hashlib.sha256(code).hexdigest()[:12]
    folder = BENCH_FOLDER.absolute() / f"tiny-chat-{version}"
    known = folder / "answers.json"
    if not known.exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        run_there(peer, [str(PROGRAM), "make", str(folder)], folder)
    answers = json.loads(known.read_bytes())
    return TinyChat(folder, {length: answers[length] for length in LENGTHS})


def without_blanks(text: str) -> bytes:
    """An answer's text as it is looked for in a body, blanks aside."""
    return json.dumps(text)[1:-1].replace(" ", "").encode()


@dataclass
class Streamed:
    """One client's answers in pieces: seconds to the first one, and to the end."""

    firsts: list[float]
    wholes: list[float]
    problem: str = ""

    @property
    def share(self) -> float:
        """Median time to the first piece of text as a part of the whole answer's."""
        parts = (first / whole for first, whole in zip(self.firsts, self.wholes, strict=True))
        return statistics.median(parts)


def stream(address: tuple[str, int], request: bytes, clients: int, seconds: float) -> Streamed:
    """Ask for streams from several clients at once; all that they saw. Raises LoadError."""
    seen = [Streamed([], []) for _ in range(clients)]
    deadline = time.perf_counter() + seconds
    threads = [
        threading.Thread(target=read_streams, args=(address, request, deadline, one))
        for one in seen
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problem := next((one.problem for one in seen if one.problem), ""):
        raise LoadError(problem)
    return Streamed(
        [first for one in seen for first in one.firsts],
        [whole for one in seen for whole in one.wholes],
    )


def read_streams(address: tuple[str, int], request: bytes, deadline: float, seen: Streamed) -> None:
    """One client: the next question when the last answer has ended."""
    try:
        connection = Connection(address, ())
        connection.sock.settimeout(STREAM_LIMIT_S)
        with connection.sock:
            while time.perf_counter() < deadline:
                first, whole = read_stream(connection, request)
                seen.firsts.append(first)
                seen.wholes.append(whole)
    except (OSError, LoadError) as error:
        seen.problem = str(error) or repr(error)


def read_stream(connection: Connection, request: bytes) -> tuple[float, float]:
    """Seconds to the first text of an answer, and to its end. Raises LoadError."""
    answer: Answer = connection.answer
    answer.reset()
    began = time.perf_counter()
    connection.sock.sendall(request)
    first = 0.0
    while True:
        data = connection.sock.recv(1 << 16)
        if not data:
            raise LoadError("the server closed the connection before its answer was whole")
        whole = answer.feed(data)
        if not first and has_text(answer):
            first = time.perf_counter() - began
        if whole:
            break
    if not (answer.ok and first and answer.buffer.rstrip().find(b"[DONE]") >= 0):
        raise LoadError(f"not a stream of text: {answer.summary}")
    return first, time.perf_counter() - began


def has_text(answer: Answer) -> bool:
    """True once a piece holds text: OpenAI's first one may be empty."""
    seen = bytes(answer.buffer).replace(b'": "', b'":"')
    return seen.count(FIRST_PIECE) > seen.count(FIRST_PIECE + b'"')
