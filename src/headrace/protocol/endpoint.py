"""What an endpoint is: a method, a path, and the structs it takes and gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
Req = TypeVar("Req")
Ans = TypeVar("Ans")

PREFIXES = ("/api", "/ajax-api")
"""Every call is served under both: clients use the first, pages in a browser the second."""


@dataclass(frozen=True)
class Endpoint(Generic[Req, Ans]):
    """One call of the protocol. Server, REST store and OpenAPI document are made from these.

    `path` begins after the prefix (`/2.0/mlflow/runs/get`); a part in braces is a field of the
    request. GET sends the request as a query string, all other methods as a JSON body.
    """

    method: Method
    path: str
    request: type[Req]
    answer: type[Ans]
    summary: str

    @property
    def operation_id(self) -> str:
        """A name for this call that is unique among all endpoints."""
        words = self.path.split("/mlflow/", 1)[-1].removeprefix("/2.0/")
        words = words.replace("{", "").replace("}", "")
        return f"{self.method.lower()}_{words.strip('/')}".replace("/", "_").replace("-", "_")
