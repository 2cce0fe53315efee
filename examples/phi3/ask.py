"""Ask a model that `headrace models serve` serves, with OpenAI's own client.

python ask.py "Who wrote Faust?"
python ask.py --stream "Count from one to ten."
"""

from __future__ import annotations

import argparse
import json
import shlex
import time

import openai

from model import QUESTION


def main() -> None:
    """Ask each question, in a conversation of its own."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("questions", nargs="*", default=[QUESTION], help="(default: %(default)s)")
    parser.add_argument("--url", default="http://127.0.0.1:5000/v1", help="(default: %(default)s)")
    parser.add_argument("--model", default="phi3", help="its name there (default: %(default)s)")
    parser.add_argument("--stream", action="store_true", help="show pieces as they are made")
    parser.add_argument("--max-tokens", type=int, default=300, help="(default: %(default)s)")
    parser.add_argument("--curl", action="store_true", help="print the command for curl instead")
    options = parser.parse_args()
    client = openai.OpenAI(base_url=options.url, api_key="none is needed")
    for question in options.questions:
        request = {
            "model": options.model,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": options.max_tokens,
        }
        if options.curl:
            print(curl(options.url, request, options.stream))
            continue
        print(f"> {question}")
        try:
            (stream if options.stream else answer)(client, request)
        except openai.APIConnectionError:
            raise SystemExit(
                f"Nobody answers at {options.url}. Start a server in another terminal:\n"
                f"  headrace models serve -m models:/{options.model}@prod"
            ) from None
        except openai.APIError as error:
            raise SystemExit(f"The server says: {error.message}") from None


def curl(url: str, request: dict[str, object], is_streamed: bool) -> str:
    """The same request as a command for a shell; -N shows pieces as they come."""
    body = shlex.quote(json.dumps(request | {"stream": is_streamed}))
    return f"curl -N {url}/chat/completions -H 'Content-Type: application/json' -d {body}"


def answer(client: openai.OpenAI, request: dict[str, object]) -> None:
    """Print the whole answer when it is there."""
    completion = client.chat.completions.create(**request)
    choice, usage = completion.choices[0], completion.usage
    print(choice.message.content)
    print(f"({choice.finish_reason}; {usage.prompt_tokens} + {usage.completion_tokens} tokens)")


def stream(client: openai.OpenAI, request: dict[str, object]) -> None:
    """Print the answer piece by piece."""
    started, first = time.monotonic(), None
    for chunk in client.chat.completions.create(**request, stream=True):
        for choice in chunk.choices:
            if choice.delta.content:
                first = first or time.monotonic() - started
                print(choice.delta.content, end="", flush=True)
    print(f"\n(first piece after {(first or 0) * 1000:.0f} ms, ", end="")
    print(f"all after {(time.monotonic() - started) * 1000:.0f} ms)")


if __name__ == "__main__":
    main()
