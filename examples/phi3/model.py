"""Which Phi-3 the examples use, and what they ask it: one flag, `--model tiny|FOLDER|HUB_ID`."""

from __future__ import annotations

import argparse
from pathlib import Path

import tiny

REAL = "microsoft/Phi-3-mini-4k-instruct"
QUESTION = "What is the capital of France?"


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line with `--model` and `--question`."""
    made = argparse.ArgumentParser(description=(description or "").partition("\n")[0])
    made.add_argument(
        "--model",
        default="tiny",
        metavar="tiny|FOLDER|HUB_ID",
        help=f"'tiny' trains one here, in ./tiny-phi3, and needs no network (default); else the "
        f"folder of a checkpoint, or its name on the Hugging Face hub, such as {REAL}",
    )
    made.add_argument("--question", default=QUESTION, help="what to ask it (default: %(default)s)")
    return made


def checkpoint(model: str) -> Path:
    """The folder of the checkpoint that `--model` names; made or downloaded where it is not here.

    Exits with a message where there is none.
    """
    if model == "tiny":
        folder = Path("tiny-phi3")
        if not (folder / "config.json").exists():
            tiny.make(folder)
        return folder
    if Path(model).is_dir():
        return Path(model)
    if model.count("/") != 1 or model.startswith((".", "/")):
        raise SystemExit(f"There is no folder {model}, and it is not the name of a model on a hub.")
    from huggingface_hub import snapshot_download

    print(f"Fetching {model} from the hub, unless it is in the cache.")
    weights = ["*.json", "*.safetensors", "*.model", "*.jinja", "LICENSE"]
    try:
        return Path(snapshot_download(model, allow_patterns=weights))
    except (OSError, ValueError) as error:
        raise SystemExit(f"{model} could not be fetched: {error}") from None


def size_of(folder: Path) -> str:
    """How large a folder is, for people."""
    total = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return f"{total / 1e9:.1f} GB" if total >= 1e9 else f"{total / 1e6:.1f} MB"
