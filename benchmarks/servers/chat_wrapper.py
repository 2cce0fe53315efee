"""ONNX Runtime GenAI in a model of one's own, as users write it for MLflow: a model from code."""

from __future__ import annotations

from typing import Any

import mlflow

MAX_LENGTH = 250


class Phi3(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # untyped: Any
    """One prompt a request, decoded greedily until the model ends its turn."""

    def load_context(self, context: Any) -> None:
        """Load the folder that the builder made."""
        import onnxruntime_genai as og

        self.model = og.Model(context.artifacts["phi3-mini-onnx"])
        self.tokenizer = og.Tokenizer(self.model)

    def predict(self, context: Any, model_input: Any, params: Any = None) -> str:
        """The answer to the first prompt."""
        import onnxruntime_genai as og

        settings = og.GeneratorParams(self.model)
        settings.set_search_options(max_length=MAX_LENGTH, do_sample=False)
        generator = og.Generator(self.model, settings)
        generator.append_tokens(self.tokenizer.encode(model_input["prompt"][0]))
        tokens = []
        while not generator.is_done():
            generator.generate_next_token()
            tokens.append(int(generator.get_next_tokens()[0]))
        return str(self.tokenizer.decode(tokens))


mlflow.models.set_model(Phi3())
