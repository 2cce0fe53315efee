"""What saved models and functions carried by value need."""

from __future__ import annotations

import pickle
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from headrace.client.model_requirements import infer_pip_requirements
from headrace.models.environment.functions import modules_in_functions
from headrace.models.environment.saved import infer_requirements
from tests.models.environment.conftest import Install, put

SOURCE = """
import fractions
import msgspec as codec
from decimal import Decimal

def helper():
    import by_helper
    return fractions

class Base:
    @staticmethod
    def quiet():
        from by_static import thing

class Model(Base):
    @property
    def shown(self):
        import by_property
    def predict(self, data):
        def inner():
            return [__import__ and codec for _ in (lambda: helper())()]
        import by_method.deep
        return Decimal(1)
"""


def in_main(source: str) -> dict[str, Any]:
    """The names of a program, as cloudpickle finds it: nothing of it can be imported."""
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(source, "<main>", "exec"), space)  # noqa: S102 - the program above
    return space


def test_functions_by_value() -> None:
    model = in_main(SOURCE)["Model"]()

    assert modules_in_functions(model) == {
        *("by_helper", "by_static", "by_property", "by_method.deep"),
        *("fractions", "msgspec", "decimal"),
    }


def test_what_can_be_imported_is_not_looked_into() -> None:
    assert modules_in_functions(Decimal("1")) == {"decimal"}
    assert modules_in_functions(pickle.dumps) == set()
    assert modules_in_functions({"a": 1}) == set()


def test_what_a_function_holds_on_to() -> None:
    made = in_main(
        "def make(tool):\n    def use():\n        return tool()\n    return use\n"
        "def tool():\n    import by_tool\n"
        "use = make(tool)\ndel tool"
    )

    assert modules_in_functions(made["use"]) == {"by_tool"}


def test_a_function_that_names_itself() -> None:
    function = in_main("def f(n):\n    import by_f\n    return f(n - 1)")["f"]

    assert modules_in_functions(function) == {"by_f"}


def test_the_files_of_a_model(install: Install, tmp_path: Path) -> None:
    for name in ("by-library", "by-skops", "by-code", "by-shipped"):
        install(name, "1.0", f"{name.replace('-', '_')}/__init__.py")
    model = put(
        tmp_path / "model",
        {"agent.py": "import by_code", "code/mine/a.py": "import by_shipped, mine"},
    )
    (model / "numbers.pkl").write_bytes(pickle.dumps(Decimal(1)))
    (model / "broken.pkl").write_bytes(b"no pickle")
    with zipfile.ZipFile(model / "model.skops", "w") as archive:
        archive.writestr("schema.json", '{"a": [{"__module__": "by_skops.deep"}]}')
    put(model, {"other.skops": "no zip file"})

    assert infer_requirements(model, "by_library") == [
        *("mlflow==3.17.2", "by-code==1.0", "by-library==1.0", "by-shipped==1.0", "by-skops==1.0"),
    ]
    assert infer_pip_requirements(model, "by_library")[0] == "by-code==1.0"
