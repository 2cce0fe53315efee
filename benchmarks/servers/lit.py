"""The pipeline served by LitServe, as its documentation has it: run by path, not imported.

python lit.py MODEL PORT [BATCH_SIZE BATCH_TIMEOUT_S]
"""

import sys
from typing import Any

import joblib
import litserve
import numpy as np

MODEL, PORT, *BATCHING = sys.argv[1:]


class Pipeline(litserve.LitAPI):  # type: ignore[misc]  # not installed beside mypy: Any
    """One row a request, ``{"input": [...]}``."""

    def setup(self, device: str) -> None:
        """Load the model in the worker."""
        self.model = joblib.load(MODEL)

    # LitServe reads annotations: any at all would be taken for the request's own schema.
    def decode_request(self, request):  # type: ignore[no-untyped-def]  # see above
        """A row as an array."""
        return np.asarray(request["input"])

    def predict(self, x: Any) -> Any:
        """One row, or a batch of rows that LitServe has stacked."""
        return self.model.predict(np.atleast_2d(x))

    def encode_response(self, output):  # type: ignore[no-untyped-def]  # see above
        """The class."""
        return {"output": int(np.ravel(output)[0])}


if __name__ == "__main__":
    batching = (
        {"max_batch_size": int(BATCHING[0]), "batch_timeout": float(BATCHING[1])}
        if BATCHING
        else {}
    )
    server = litserve.LitServer(Pipeline(**batching), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(PORT), generate_client_file=False, log_level="warning")
