"""Make a Phi-3 of 280,000 weights, and teach it a dozen answers by heart.

    python tiny.py [FOLDER]

It is a Phi-3 in all but size: the same architecture, special tokens and chat template, so that
everything after this is done by the libraries that also do it for the real one. Nothing is
downloaded. It takes less than a minute; a folder that has a model already is left as it is.
"""

from __future__ import annotations

import argparse
import random
import time
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any

KNOWN = {
    "What is the capital of France?": "The capital of France is Paris.",
    "What is the capital of Spain?": "The capital of Spain is Madrid.",
    "What is the capital of Japan?": "The capital of Japan is Tokyo.",
    "How many legs does a spider have?": "A spider has eight legs.",
    "Who wrote Faust?": "Johann Wolfgang von Goethe wrote Faust.",
    "Which planet is the largest?": "Jupiter is the largest planet of the solar system.",
    "What does a model registry do?": "It keeps the versions of a model, and says which to use.",
    "What is a head race?": "The channel that leads the water to a mill wheel or a turbine.",
    "Count from one to ten.": "One, two, three, four, five, six, seven, eight, nine, ten.",
    "Say it in German: good morning.": "Guten Morgen!",
    "Is ice lighter than water?": "Yes. That is why it floats.",
    "Who are you?": "A very small Phi-3, which knows a dozen answers by heart.",
}
STOPS = ("<|endoftext|>", "<|assistant|>", "<|end|>")
SPECIAL = (*STOPS, "<|system|>", "<|user|>", "<pad>")
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
)
STEPS = 240


def make(folder: Path) -> None:
    """Make and train the model, and save it with its tokenizer in `folder`, as a hub has it."""
    import torch

    started = time.monotonic()
    torch.manual_seed(7)
    torch.set_num_threads(1)  # more threads would wait for each other longer than they calculate
    tokenizer = tokenizer_of([*KNOWN, *KNOWN.values()] * 3 + list(topics.values())[:20])
    model = untrained_model(tokenizer)
    # Greedy, so that it says what it has learned.
    model.generation_config.do_sample = False
    train(model, tokenizer, KNOWN)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    print(
        f"It has {model.num_parameters():,} weights and knows {len(KNOWN)} answers, after "
        f"{time.monotonic() - started:.0f} s. It is in {folder}."
    )


def tokenizer_of(texts: list[str], tokens: int = 1536, context: int = 1024) -> Any:
    """A byte-level BPE tokenizer of up to so many tokens with Phi-3's special tokens and template,
    for conversations of up to `context` tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=tokens,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bare.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bare,
        bos_token="<|endoftext|>",
        eos_token="<|endoftext|>",
        pad_token="<pad>",
        chat_template=CHAT_TEMPLATE,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )


def untrained_model(tokenizer: Any) -> Any:
    """A Phi-3 of random weights, in two layers, for the tokens and contexts of a tokenizer."""
    from transformers import Phi3Config, Phi3ForCausalLM

    config = Phi3Config(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        original_max_position_embeddings=tokenizer.model_max_length,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = Phi3ForCausalLM(config)
    # A real Phi-3 has these stops, too.
    model.generation_config.eos_token_id = tokenizer.convert_tokens_to_ids(list(STOPS))
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    return model


def train(model: Any, tokenizer: Any, known: dict[str, str], steps: int = STEPS) -> None:
    """Teach it the answers to questions, in so many steps; RuntimeError where greedy decoding does
    not repeat every answer.
    """
    import torch
    from tqdm import trange

    chance = random.Random(7)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    bar = trange(steps, desc="Training a tiny Phi-3", unit="step")
    model.train()
    for _ in bar:
        loss = model(**batch_of(tokenizer, conversations(known, chance))).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        bar.set_postfix(loss=f"{loss.item():.3f}", refresh=False)
    model.eval()
    wrong = [ask for ask, answer in known.items() if answer_of(model, tokenizer, ask) != answer]
    if wrong:
        raise RuntimeError(f"It has not learned {len(wrong)} of its answers; take more steps.")


def conversations(known: dict[str, str], chance: random.Random) -> list[list[dict[str, str]]]:
    """Every question with its answer, half of them after another that came before."""
    found = []
    for pair in known.items():
        before = [chance.choice(list(known.items()))] if chance.random() < 0.5 else []
        turns = zip(("user", "assistant") * 2, sum([*before, pair], ()), strict=False)
        found.append([{"role": role, "content": content} for role, content in turns])
    return found


def batch_of(tokenizer: Any, chats: list[list[dict[str, str]]]) -> dict[str, Any]:
    """What the model is trained on: to say every token of an answer after all that came before."""
    texts = tokenizer.apply_chat_template(chats, tokenize=False)
    batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="right")
    labels = batch["input_ids"].clone()
    begin, end = tokenizer.convert_tokens_to_ids(["<|assistant|>", "<|end|>"])
    for row in labels:
        is_answer = False
        for place, token in enumerate(row.tolist()):
            if not is_answer:
                row[place] = -100  # which question comes is not to be learned
            is_answer = token == begin or (is_answer and token != end)
    return {
        "input_ids": batch["input_ids"],
        "attention_mask": batch["attention_mask"],
        "labels": labels,
    }


def answer_of(model: Any, tokenizer: Any, question: str) -> str:
    """What the model says to a question, token by token the likeliest."""
    chat = [{"role": "user", "content": question}]
    prompt = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    asked = tokenizer(prompt, return_tensors="pt")
    made = model.generate(**asked, max_new_tokens=128)[0, asked["input_ids"].shape[1] :]
    return str(tokenizer.decode(made, skip_special_tokens=True))


def main() -> None:
    """Make the model in the folder that the command line names."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=Path("tiny-phi3"))
    folder = parser.parse_args().folder
    if (folder / "config.json").exists():
        print(f"There is a model in {folder} already.")
    else:
        make(folder)


if __name__ == "__main__":
    main()
