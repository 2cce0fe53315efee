"""A tiny Phi-3 as a chat, 8 clients: through transformers, and through ONNX Runtime GenAI."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

from benchmarks.load import LoadError, LoadResult, run_load
from benchmarks.measurements import Bench, Effort, LoneFigure, Quantity
from benchmarks.peers import PeerError
from benchmarks.serving_chat import (
    CHAT_PEERS,
    KINDS,
    LENGTHS,
    ChatPeer,
    HeadraceChat,
    TinyChat,
    stream,
    tiny_chat,
    without_blanks,
)
from benchmarks.serving_peers import ModelServer, serving

CLIENTS = 8
ROUNDS = 2
LIBRARIES = {"torch": "transformers", "onnx": "ONNX Runtime GenAI"}
TARGETS = {"torch": 4.0, "onnx": 1.5}
Asked = list[tuple[bytes, bytes]]


def measure(bench: Bench) -> None:
    """Both kinds of model on both servers, in turn, several times."""
    peers = [CHAT_PEERS[peer.name] for peer in bench.peers if peer.name in CHAT_PEERS]
    rounds = min(bench.effort.rounds, ROUNDS)
    saved: dict[tuple[str, str], tuple[TinyChat, Path]] = {}
    for number in range(1, rounds + 1):
        for kind in KINDS:
            for peer in peers:
                bench.say(f"chat, round {number} of {rounds}, {LIBRARIES[kind]}, {peer.title}")
                try:
                    if (kind, peer.name) not in saved:
                        saved[kind, peer.name] = prepare(bench, kind, peer)
                    chat, folder = saved[kind, peer.name]
                    for key, value in one_turn(peer, kind, chat, folder, bench.effort):
                        bench.measurements.add(key, peer.name, value)
                except (PeerError, LoadError, OSError) as error:
                    keys = [quantity.key for quantity in quantities_of(kind)]
                    bench.measurements.fail(keys, peer.name, str(error))
                    bench.say(f"chat failed on {peer.title}: {error}")


def prepare(bench: Bench, kind: str, peer: ChatPeer) -> tuple[TinyChat, Path]:
    """The model, saved for a server. Raises PeerError."""
    if not peer.installed():
        raise PeerError(f"{peer.title} is not installed there: make frameworks-env")
    chat = tiny_chat(peer)
    folder = bench.folder / f"chat-{kind}-{peer.name}"
    folder.mkdir(parents=True, exist_ok=True)
    peer.save(kind, chat, folder)
    return chat, folder


def one_turn(
    peer: ChatPeer, kind: str, chat: TinyChat, folder: Path, effort: Effort
) -> Iterator[tuple[str, float]]:
    """Start one server, ask for short and for long answers, and for long ones in pieces."""
    asked: dict[str, Asked] = {
        length: [
            (peer.question(kind, question), without_blanks(answer))
            for question, answer in chat.answers[length].items()
        ]
        for length in LENGTHS
    }
    with serving(peer, folder, *asked["short"][0]) as server:
        for length in LENGTHS:
            load(server, asked[length], effort.warm_up_s / 2)
            result = load(server, asked[length], effort.seconds / 2)
            yield f"chat_{kind}_{length}", result.rate
        if isinstance(peer, HeadraceChat):
            short = chat.answers["short"].items()
            invoked = [(peer.invoked(question), without_blanks(text)) for question, text in short]
            yield f"chat_{kind}_invoked", load(server, invoked, effort.seconds / 4).rate
            question = next(iter(chat.answers["long"]))
            seen = stream(server.address, peer.streamed(question), CLIENTS, effort.seconds / 2)
            yield f"chat_{kind}_first", seen.share


def load(server: ModelServer, asked: Asked, seconds: float) -> LoadResult:
    """Each client asks one question again and again; every answer must be the known one."""
    chosen = [asked[number % len(asked)] for number in range(CLIENTS)]
    return run_load(
        server.address,
        [repeat(request) for request, _ in chosen],
        seconds=seconds,
        expected=[expected for _, expected in chosen],
    ).require_success()


def quantities_of(kind: str) -> tuple[Quantity, ...]:
    """The rows of one kind of model."""
    library = LIBRARIES[kind]
    rates = (
        Quantity(
            f"chat_{kind}_{length}",
            f"tiny Phi-3, {library}, {length} answers, {CLIENTS} clients",
            "answers/s",
            higher_is_better=True,
            targets={"mlflow": TARGETS[kind]},
        )
        for length in LENGTHS
    )
    invoked = Quantity(
        f"chat_{kind}_invoked",
        "the same, short answers by /invocations",
        "answers/s",
        higher_is_better=True,
    )
    first = Quantity(
        f"chat_{kind}_first",
        "the same, long answers in pieces: the first after this part of the time",
        "of 1",
        at_most=0.2,
    )
    return (*rates, invoked, first)


FIGURE = LoneFigure(
    "chat", tuple(quantity for kind in KINDS for quantity in quantities_of(kind)), measure
)
