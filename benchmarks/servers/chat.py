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
import subprocess
import sys
from pathlib import Path
from typing import Any

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
SPECIAL = ("<|endoftext|>", "<|assistant|>", "<|end|>", "<|system|>", "<|user|>", "<pad>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
LONGEST = 256
VOCABULARY = 560  # of which bytes are 256: so words are cut into pieces, as in real models
MAX_STEPS = 600
LOSS = 0.003
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
    """Train, check that each answer is known, and convert."""
    import torch
    from transformers import Phi3Config, Phi3ForCausalLM

    torch.manual_seed(7)
    torch.set_num_threads(1)
    tokenizer = tokenizer_of_texts()
    stops = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|assistant|>", "<|end|>"])
    model = Phi3ForCausalLM(
        Phi3Config(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=4,
            max_position_embeddings=LONGEST,
            original_max_position_embeddings=LONGEST,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=stops[0],
            eos_token_id=stops[0],
        )
    )
    learn(model, tokenizer)
    model.generation_config.eos_token_id = stops
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    tokens = {question: tokens_of(model, tokenizer, question) for question in (SHORT | LONG)}
    checkpoint = folder / "phi3"
    tokenizer.save_pretrained(checkpoint)
    model.save_pretrained(checkpoint)
    builder = [sys.executable, "-m", "onnxruntime_genai.models.builder", "-p", "int4", "-e", "cpu"]
    subprocess.run([*builder, "-i", str(checkpoint), "-o", str(folder / "onnx")], check=True)
    answers = {"short": SHORT, "long": LONG, "tokens": tokens}
    (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


def tokenizer_of_texts() -> Any:
    """A byte-level one that has learned from the questions and answers."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    known = SHORT | LONG
    bare.train_from_iterator([*known, *known.values()], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bare,
        bos_token=SPECIAL[0],
        eos_token=SPECIAL[0],
        pad_token=SPECIAL[-1],
        chat_template=CHAT_TEMPLATE,
        model_max_length=LONGEST,
        clean_up_tokenization_spaces=False,
    )


def learn(model: Any, tokenizer: Any) -> None:
    """Train until the answers are known by heart."""
    import torch

    texts = [f"{prompt_of(q)}{answer}<|end|>" for q, answer in (SHORT | LONG).items()]
    batch = tokenizer(texts, return_tensors="pt", padding=True)
    labels = batch["input_ids"].masked_fill(batch["attention_mask"] == 0, -100)
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3)
    model.train()
    for _ in range(MAX_STEPS):
        loss = model(**batch, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss.item() < LOSS:
            break
    model.eval()


def prompt_of(question: str) -> str:
    """What Phi-3's template makes of one question."""
    return f"<|user|>\n{question}<|end|>\n<|assistant|>\n"


def tokens_of(model: Any, tokenizer: Any, question: str) -> int:
    """How many tokens the answer has. RuntimeError where the model does not know it."""
    ids = tokenizer(prompt_of(question), return_tensors="pt")
    ids.pop("token_type_ids", None)
    made = model.generate(**ids, do_sample=False, max_new_tokens=200)[0]
    answer = made[ids["input_ids"].shape[1] :]
    text = tokenizer.decode(answer, skip_special_tokens=True)
    if text != (SHORT | LONG)[question]:
        raise RuntimeError(f"to {question!r} it says {text!r}")
    return len(answer)


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
