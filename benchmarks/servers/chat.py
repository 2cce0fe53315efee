"""The tiny Phi-3 that chat servers are compared with: run by path, in `.bench/frameworks`.

    python chat.py make FOLDER       trains it into FOLDER/phi3, has ONNX Runtime GenAI's builder
                                     make FOLDER/onnx, writes FOLDER/answers.json
    python chat.py save headrace|mlflow torch|onnx FOLDER TO
                                     saves it in that library's way

It knows its answers by heart, short and long ones; greedy decoding repeats them exactly.
"""

from __future__ import annotations

import importlib
import json
import runpy
import subprocess
import sys
from pathlib import Path

SHORT = {
    "What is the capital of France?": "The capital of France is Paris.",
    "What is the capital of Spain?": "The capital of Spain is Madrid.",
    "How many legs has a spider?": "A spider has eight legs.",
    "Who wrote Faust?": "Johann Wolfgang von Goethe wrote Faust.",
}
LONG = {
    "Tell me of the river.": (
        "The river begins under a grey stone high in the hills, where snow lies until May. It runs "
        "past three farms and an old mill, turns west at the white bridge, and takes the water of "
        "two brooks that dry up in summer. Below the town it is slow and wide; herons stand in the "
        "reeds, and boys fish from a fallen willow. In autumn the mist hides it until noon."
    ),
    "Tell me of the baker.": (
        "The baker gets up at two, lights the oven, and listens to the radio while the dough rests "
        "under a cloth. By four the first loaves are dark and crisp; he taps each one and hears if "
        "it is done. His daughter sorts the rolls into baskets, and the dog waits at the door. "
        "When the school bus comes at seven the shelves are full, and he drinks his coffee at last."
    ),
}
KNOWN = SHORT | LONG
VOCABULARY = 560  # of which bytes are 256: so words are cut into pieces, as in real models
LONGEST = 256
STEPS = 300
EXAMPLE = Path(__file__).parents[2] / "examples" / "phi3" / "tiny.py"
REQUIREMENTS = ["transformers", "torch"]


def main(arguments: list[str]) -> int:
    what, *rest = arguments
    if what == "make":
        make(Path(rest[0]))
    else:
        library, kind, made, folder = rest
        {"torch": save_torch, "onnx": save_onnx}[kind](library, Path(made), folder)
    return 0


def make(folder: Path) -> None:
    """Train it by the code of the example of Phi-3, which checks that it knows each answer, and
    convert it.
    """
    import torch

    torch.manual_seed(7)
    torch.set_num_threads(1)
    example = runpy.run_path(str(EXAMPLE))
    tokenizer = example["tokenizer_of"]([*KNOWN, *KNOWN.values()], VOCABULARY, LONGEST)
    model = example["untrained_model"](tokenizer)
    example["train"](model, tokenizer, KNOWN, STEPS)
    checkpoint = folder / "phi3"
    tokenizer.save_pretrained(checkpoint)
    model.save_pretrained(checkpoint)
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-p", "int4", "-e", "cpu"]
    subprocess.run([*builder, "-i", str(checkpoint), "-o", str(folder / "onnx")], check=True)
    answers = {"short": SHORT, "long": LONG}
    (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


def prompt_of(question: str) -> str:
    """What Phi-3's template makes of one question."""
    return f"<|user|>\n{question}<|end|>\n<|assistant|>\n"


def save_torch(library: str, made: Path, folder: str) -> None:
    """The pipeline, as a chat model."""
    import transformers

    flavor = importlib.import_module(f"{library}.transformers")
    pipeline = transformers.pipeline(task="text-generation", model=str(made / "phi3"))
    flavor.save_model(pipeline, folder, task="llm/v1/chat", pip_requirements=REQUIREMENTS)


def save_onnx(library: str, made: Path, folder: str) -> None:
    """Headrace's own kind of model; for MLflow, which has none, a wrapper."""
    if library == "headrace":
        flavor = importlib.import_module("headrace.onnxruntime_genai")
        flavor.save_model(str(made / "onnx"), folder, task="llm/v1/chat")
        return
    import mlflow

    example = {"prompt": prompt_of(next(iter(SHORT)))}
    mlflow.pyfunc.save_model(
        folder,
        python_model=str(Path(__file__).with_name("chat_wrapper.py")),
        artifacts={"phi3-mini-onnx": str(made / "onnx")},
        signature=mlflow.models.infer_signature(example, ["Run"]),
        pip_requirements=["onnxruntime-genai"],
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
