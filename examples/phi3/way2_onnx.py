"""Way 2: Phi-3 as an ONNX model, in a wrapper of your own and with no wrapper at all.

python way2_onnx.py
headrace models serve -m models:/phi3-wrapper@prod --port 5001
headrace models serve -m models:/phi3@candidate --port 5002
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import onnxruntime_genai as og

import headrace
from headrace.models import infer_signature
from model import checkpoint, parser, size_of

WRAPPER, NAME = "phi3-wrapper", "phi3"
PROMPT = "<|user|>\n{question}<|end|>\n<|assistant|>\n"
MAX_NEW_TOKENS = 200


class Phi3Wrapper(headrace.pyfunc.PythonModel):
    """Texts for prompts. What is made in load_context is not there when the object is pickled."""

    def load_context(self, context: Any) -> None:
        """Open the folder that was logged as an artifact."""
        self.model = og.Model(context.artifacts["phi3-mini-onnx"])
        self.tokenizer = og.Tokenizer(self.model)

    def predict(self, context: Any, model_input: Any) -> list[str]:
        """An answer for each row of the column `prompt`."""
        return [self.answer(prompt) for prompt in model_input["prompt"]]

    def answer(self, prompt: str) -> str:
        """The likeliest answer, token by token."""
        tokens = self.tokenizer.encode(prompt)
        params = og.GeneratorParams(self.model)
        params.set_search_options(max_length=len(tokens) + MAX_NEW_TOKENS, do_sample=False)
        generator = og.Generator(self.model, params)
        generator.append_tokens(tokens)
        while not generator.is_done():
            generator.generate_next_token()
        return str(self.tokenizer.decode(generator.get_sequence(0)[len(tokens) :])).strip()


def build(source: Path, precision: str) -> Path:
    """The folder for ONNX Runtime GenAI that its builder makes of a checkpoint."""
    target = Path(f"phi3-onnx-{source.name}-{precision}")
    if not (target / "genai_config.json").exists():
        words = ["-i", str(source), "-o", str(target), "-p", precision, "-e", "cpu"]
        command = [sys.executable, "-m", "onnxruntime_genai.models.builder", *words]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"The builder failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return target


def with_a_wrapper(folder: Path, question: str) -> None:
    """Log the wrapper with the folder as its artifact, load it, ask it, register it."""
    input_example = {"prompt": PROMPT.format(question=question)}
    with headrace.start_run(run_name="way 2: a wrapper"):
        info = headrace.pyfunc.log_model(
            artifact_path="phi3-mini-onnx",
            python_model=Phi3Wrapper(),
            artifacts={"phi3-mini-onnx": str(folder)},
            input_example=input_example,
            signature=infer_signature(input_example, ["Run"]),
            extra_pip_requirements=[f"onnxruntime-genai=={og.__version__}"],
            registered_model_name=WRAPPER,
        )
    model = headrace.pyfunc.load_model(info.model_uri)
    (answer,) = model.predict(input_example)
    print(f"   > {question}\n   {answer}")
    promote(WRAPPER, info.registered_model_version, "prod")


def without_a_wrapper(folder: Path, question: str) -> None:
    """Log the same folder by its flavor, which answers chats, load it, ask it, register it."""
    with headrace.start_run(run_name="way 2: no wrapper"):
        info = headrace.onnxruntime_genai.log_model(
            str(folder),
            name="phi3-onnx",
            task="llm/v1/chat",
            model_config={"max_new_tokens": 300, "do_sample": False},
            registered_model_name=NAME,
        )
    model = headrace.pyfunc.load_model(info.model_uri)
    request = {"messages": [{"role": "user", "content": question}]}
    print(f"   > {question}\n   ", end="")
    for chunk in model.predict_stream(request):
        print(chunk["choices"][0]["delta"].get("content", ""), end="", flush=True)
    print()
    promote(NAME, info.registered_model_version, "candidate")


def promote(name: str, version: Any, alias: str) -> None:
    """Let the alias name this version, from now on and for every server that serves by it."""
    headrace.MlflowClient().set_registered_model_alias(name, alias, version)
    print(f"   models:/{name}@{alias} is version {version}")


def main() -> None:
    """Build, then both kinds of model."""
    options = parser(__doc__)
    options.add_argument(
        "--precision",
        default="int4",
        choices=["int4", "fp32"],
        help="how weights are kept (default: int4, the smallest)",
    )
    chosen = options.parse_args()
    source = checkpoint(chosen.model)

    print(f"1. {source} ({size_of(source)}) built for ONNX Runtime GenAI")
    folder = build(source, chosen.precision)
    print(f"   {folder} ({size_of(folder)})")

    print("2. Logged with a wrapper, loaded, and asked")
    with_a_wrapper(folder, chosen.question)

    print("3. Logged with no wrapper, loaded, and asked: the answer comes in pieces")
    without_a_wrapper(folder, chosen.question)

    print("4. Serve them:")
    print(f"   headrace models serve -m models:/{WRAPPER}@prod --port 5001")
    print(f"   headrace models serve -m models:/{NAME}@candidate --port 5002")


if __name__ == "__main__":
    main()
