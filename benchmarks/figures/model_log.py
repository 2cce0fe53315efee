"""Logging a small model and loading it again: what a training, and a service, wait for."""

from __future__ import annotations

from benchmarks.measurements import Bench, LoneFigure, Quantity
from benchmarks.sdk import MODELLING, PEERS, noting_failures, run_program, served

WAYS = {"no": "found", "yes": "listed"}


def measure(bench: Bench) -> None:
    effort = bench.effort
    for peer in bench.peers:
        if peer.name not in PEERS:
            continue
        count = effort.models if peer.name == "headrace" else effort.peer_models
        for listed, way in WAYS.items():
            bench.say(f"model_log, requirements {way}, {peer.title}")
            name = f"model-{way}"
            with (
                noting_failures(bench, peer, FIGURE.quantities),
                served(bench, peer, name) as where,
            ):
                server, uri = where
                figures = run_program(
                    peer, server.place.folder, uri, "small", str(count), listed, program=MODELLING
                )
                bench.measurements.add(f"model_log_{way}", peer.name, figures["log"] * 1e3)
                if way == "listed":
                    bench.measurements.add("model_load", peer.name, figures["load"] * 1e3)
                    pyfunc = figures["load_pyfunc"] * 1e3
                    bench.measurements.add("model_load_pyfunc", peer.name, pyfunc)


FIGURE = LoneFigure(
    "model_log",
    (
        Quantity(
            "model_log_found",
            "log_model of a small scikit-learn model, with signature and example",
            "ms",
            targets={"mlflow": 10},
        ),
        Quantity("model_log_listed", "the same, requirements given", "ms", targets={"mlflow": 2}),
        Quantity("model_load", "load_model of it, the first time", "ms", targets={"mlflow": 5}),
        Quantity("model_load_pyfunc", "pyfunc.load_model of it, the first time", "ms"),
    ),
    measure,
)
