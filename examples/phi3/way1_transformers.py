"""Way 1: log a transformers pipeline as a chat model, load it, and ask it.

python way1_transformers.py
headrace models serve -m models:/phi3@prod
"""

from __future__ import annotations

import transformers

import headrace
from model import checkpoint, parser

NAME = "phi3"


def main() -> None:
    """Log, load, ask, register and promote."""
    options = parser(__doc__).parse_args()
    folder = checkpoint(options.model)

    print(f"1. A text-generation pipeline over {folder}")
    pipeline = transformers.pipeline(task="text-generation", model=str(folder))

    print("2. Logged as a chat model, and registered")
    with headrace.start_run(run_name="way 1: transformers"):
        info = headrace.transformers.log_model(
            transformers_model=pipeline,
            artifact_path="phi3-mlflow-model",
            model_config={"max_new_tokens": 300, "do_sample": False},
            task="llm/v1/chat",
            registered_model_name=NAME,
        )
    version = info.registered_model_version
    print(f"   {info.model_uri} is models:/{NAME}/{version}")
    print(f"   It takes:    {', '.join(info.signature.inputs.input_names())}")
    print(f"   It answers:  {', '.join(info.signature.outputs.input_names())}")

    print("3. Loaded again, and asked")
    model = headrace.pyfunc.load_model(info.model_uri)
    response = model.predict({"messages": [{"role": "user", "content": options.question}]})
    print(f"   > {options.question}")
    print(f"   {response[0]['choices'][0]['message']['content']}")
    print(f"   finish_reason: {response[0]['choices'][0]['finish_reason']}, ", end="")
    print(f"usage: {response[0]['usage']}")

    print("4. Promoted: 'prod' is now this version. Serve it:")
    headrace.MlflowClient().set_registered_model_alias(NAME, "prod", version)
    print(f"   headrace models serve -m models:/{NAME}@prod")


if __name__ == "__main__":
    main()
