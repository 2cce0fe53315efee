"""The Dockerfile of an image that serves a model.

The image is built in stages, so that what changes often is built last: Headrace in an environment
of its own, the model's environment from its requirements alone, then the model's files. Formats:
https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import importlib.metadata
import json
from typing import Final

from headrace.deploy.image import ImagePlan
from headrace.version import VERSION

MADE_BY: Final = "# Made by Headrace"
"""How the first line of every Dockerfile that is made here begins."""
MODEL: Final = "/opt/ml/model"
"""Where the model lies in the image, as with MLflow and SageMaker."""
PORT: Final = 8080
REQUIREMENTS: Final = "requirements"
SIGNERS: Final = "trusted_signers"
_OURS: Final = "/opt/headrace"
_ENVIRONMENT: Final = "/opt/environment"
_KEYS: Final = "/etc/headrace"
_CACHE: Final = "/var/cache/headrace"
_UV_CACHE: Final = "/var/cache/uv"
_USER: Final = 10001
_INDEXES: Final = ("UV_DEFAULT_INDEX", "UV_EXTRA_INDEX_URL", "UV_INDEX_STRATEGY")
_HEALTH: Final = (
    "import http.client, os, sys; "
    "c = http.client.HTTPConnection('127.0.0.1', int(os.environ['HEADRACE_PORT']), timeout=4); "
    "c.request('GET', '/ping'); sys.exit(c.getresponse().status != 200)"
)


def dockerfile(plan: ImagePlan, wheel: str) -> str:
    """The text of the Dockerfile; `wheel` is the file name of Headrace's wheel beside it."""
    parts = [_head(plan), _tools(), _headrace(plan, wheel)]
    if plan.wanted is not None:
        parts.append(_environment(plan))
    return "\n".join([*parts, _final(plan)])


def run_command(plan: ImagePlan, image: str) -> str:
    """What runs the image of that name."""
    volume = "" if plan.is_baked else f" -v PATH_OF_THE_MODEL:{MODEL}:ro"
    return f"docker run --init -p {PORT}:{PORT}{volume} {image}"


def _head(plan: ImagePlan) -> str:
    what = f"the model '{plan.name}' ({plan.signed_by})" if plan.model else "a mounted model"
    return f"""\
{MADE_BY} {VERSION}. Serves {what}.
#
# Build it:  docker build -t NAME .
# Run it:    {run_command(plan, "NAME")}
#
# Indexes of packages other than uv's and pip's own, without passwords, are build arguments:
#   --build-arg PIP_INDEX_URL=URL --build-arg UV_DEFAULT_INDEX=URL
# With passwords, they are secrets, of which nothing stays in the image:
#   --secret id=pip.conf,src=FILE --secret id=uv.toml,src=FILE

ARG BASE_IMAGE={plan.base_image}
"""


def _tools() -> str:
    uv = importlib.metadata.version("uv")
    return f"""\
FROM ${{BASE_IMAGE}} AS tools
ARG PIP_INDEX_URL
RUN --mount=type=secret,id=pip.conf,target=/etc/pip.conf \\
    python -m pip install --no-cache-dir --root-user-action=ignore uv=={uv}
ENV UV_CACHE_DIR={_UV_CACHE} UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never
WORKDIR /build
"""


def _headrace(plan: ImagePlan, wheel: str) -> str:
    commands = [
        f"uv venv --python {plan.python} {_OURS}",
        f"uv pip install --python {_OURS}/bin/python ./{wheel}",
    ]
    return f"FROM tools AS headrace\n{_arguments()}COPY {wheel} ./\n{_run(commands)}"


def _environment(plan: ImagePlan) -> str:
    """The stage that makes the model's environment; without Headrace, so nothing can clash."""
    assert plan.wanted is not None, "what is mounted and not known has no such stage"
    install = f"uv pip install --python {_ENVIRONMENT}/bin/python"
    commands = [f"uv venv --python {plan.python} {_ENVIRONMENT}"]
    if plan.wanted.build:
        commands.append(f"{install} --requirement build.txt")
    constrained = " --constraint constraints.txt" if plan.wanted.constraints else ""
    commands.append(f"{install} --requirement requirements.txt{constrained}")
    return f"FROM tools AS environment\n{_arguments()}COPY {REQUIREMENTS}/ ./\n{_run(commands)}"


def _arguments() -> str:
    return "".join(f"ARG {name}\n" for name in _INDEXES)


def _run(commands: list[str]) -> str:
    """Commands of uv, with its settings, and packages that it keeps from build to build."""
    first, *others = commands
    mounts = (
        "RUN --mount=type=secret,id=uv.toml,target=/etc/uv/uv.toml \\\n"
        f"    --mount=type=cache,target={_UV_CACHE}"
    )
    return f"{mounts} \\\n    {first}" + "".join(f" \\\n && {each}" for each in others) + "\n"


def _final(plan: ImagePlan) -> str:
    lines = [
        "FROM ${BASE_IMAGE}",
        f"RUN useradd --uid {_USER} --user-group --create-home headrace \\\n"
        f" && install -d -o headrace -g headrace {_CACHE}",
    ]
    if plan.system_packages:
        lines.append(
            "RUN apt-get update \\\n && apt-get install -y --no-install-recommends "
            f"{' '.join(plan.system_packages)} \\\n && rm -rf /var/lib/apt/lists/*"
        )
    lines += [
        f"ENV PATH={_OURS}/bin:$PATH PYTHONUNBUFFERED=1 \\\n"
        f"    HEADRACE_HOST=0.0.0.0 HEADRACE_PORT={PORT} HEADRACE_ALLOWED_HOSTS=* \\\n"
        f"    HEADRACE_KEYS={_KEYS} HEADRACE_CACHE={_CACHE}",
        f"COPY --from=headrace {_OURS} {_OURS}",
    ]
    if plan.wanted is not None:
        lines.append(f"COPY --from=environment {_ENVIRONMENT} {_ENVIRONMENT}")
    lines.append(f"COPY {SIGNERS} {_KEYS}/{SIGNERS}")
    if plan.is_baked:
        lines.append(f"COPY model {MODEL}")
    health = json.dumps([f"{_OURS}/bin/python", "-I", "-c", _HEALTH])
    lines += [
        f"USER {_USER}:{_USER}",
        f"EXPOSE {PORT}",
        f"HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD {health}",
        f"ENTRYPOINT {json.dumps(_words(plan))}",
    ]
    return "\n".join(lines) + "\n"


def _words(plan: ImagePlan) -> list[str]:
    """The command that serves. `--insecure`: who can reach a container is its network's matter."""
    words = [f"{_OURS}/bin/headrace", "models", "serve", "-m", f"{plan.name}={MODEL}"]
    if plan.wanted is None:
        words += ["--env-manager", "uv"]
    else:
        words += ["--python", f"{_ENVIRONMENT}/bin/python"]
    return [*words, "--insecure", *(["--trust"] if plan.is_vouched_for else [])]
