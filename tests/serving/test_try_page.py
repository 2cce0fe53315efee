"""The page to try models on, in a browser."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import headrace.pyfunc as pyfunc  # noqa: PLR0402 - mypy: the facade finds it at run time
from headrace.models.signature import infer_signature
from tests.serving.served import ServingLauncher, ServingProcess

pytestmark = pytest.mark.heavy

CHROMIUM = shutil.which("chromium")
SCRIPT = Path(__file__).with_name("constant_model.py")
KEY = "open-sesame"
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, shared_serving_process: ServingLauncher
) -> ServingProcess:
    folder = tmp_path_factory.mktemp("page") / "churn"
    rows = pd.DataFrame({"age": [41], "<b>plan</b>": ["pro"]})
    pyfunc.save_model(
        folder,
        python_model=str(SCRIPT),
        model_config={"value": "stays"},
        signature=infer_signature(rows, ["stays"]),
        input_example=rows,
    )
    return shared_serving_process(folder, api_key=KEY)


@pytest.fixture
def page(server: ServingProcess) -> Iterator[object]:
    """The page, opened by somebody who knows the key."""
    if CHROMIUM is None:
        pytest.skip("needs chromium: make system")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        context = browser.new_context(http_credentials={"username": "me", "password": KEY})
        opened = context.new_page()
        wrong: list[str] = []
        opened.on("console", lambda message: wrong.append(message.text))
        opened.on("pageerror", lambda error: wrong.append(str(error)))
        opened.goto(f"{server.address}/docs")
        yield opened
        context.close()
        browser.close()
    assert not [text for text in wrong if "400" not in text], wrong


def test_the_example_is_predicted_and_a_mistake_is_told(page: object) -> None:
    from playwright.sync_api import Page

    assert isinstance(page, Page)
    assert page.locator("td", has_text="<b>plan</b>").count() == 1
    page.get_by_role("button", name="Predict").click()
    answer = page.locator(".answer")
    answer.wait_for(state="visible")
    assert '"stays"' in answer.inner_text()
    page.get_by_role("status").filter(has_text="status 200").wait_for()
    page.locator("textarea").fill('{"dataframe_records": [{"age": "old"}]}')
    page.get_by_role("button", name="Predict").click()
    page.get_by_role("status").filter(has_text="status 400").wait_for()
    assert "age" in answer.inner_text()
