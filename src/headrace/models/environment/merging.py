"""Requirements for one package that come from several places, made one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from headrace.errors import InvalidRequest
from headrace.models.environment.requirement_files import hide_credentials, name_of

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet


def merged(requirements: Iterable[str]) -> list[str]:
    """Each package once: extras are joined and version conditions combined, as MLflow does.

    They are written in the usual form (`six; python_version > "3"`). Of two pins that differ by a
    local version label, the one without it stays. Options, paths and URLs stay as they are, once.
    InvalidRequest for a line that is no requirement, and for conditions that exclude each other.
    """
    found: dict[tuple[str, str], Requirement | str] = {}
    for line in requirements:
        parsed = parsed_requirement(line)
        if parsed is None:
            found.setdefault((line, ""), line)
            continue
        key = (name_of(line) or line, str(parsed.marker or ""))
        earlier = found.get(key)
        found[key] = parsed if earlier is None else _combined(earlier, parsed)
    return [str(each) for each in found.values()]


def parsed_requirement(line: str) -> Requirement | None:
    """A line as a requirement of a named package (PEP 508); None for an option, a path or a URL,
    and for one with options of its own (`--hash`). InvalidRequest where it is none of these.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    if name_of(line) is None or " -" in line or line.startswith(("git+", "hg+")):
        _require_sense(line)
        return None
    try:
        return Requirement(line)
    except InvalidRequirement as error:
        reason = str(error).partition("\n")[0]
        raise InvalidRequest(
            f"'{hide_credentials(line)}' is no requirement: {reason}. Expected such as "
            "'numpy==2.1.0' or 'pandas>=2,<3'."
        ) from None


def _require_sense(line: str) -> None:
    named = name_of(line) is not None or line.startswith(("-", ".", "/"))
    if not named and "/" not in line and "\\" not in line and not line.endswith(".whl"):
        raise InvalidRequest(
            f"'{line}' is no requirement. Expected such as 'numpy==2.1.0', a path or a URL."
        )


def _combined(first: Requirement | str, second: Requirement) -> Requirement:
    from packaging.requirements import Requirement

    assert isinstance(first, Requirement), "only lines without a name are kept as text"
    joined = Requirement(str(second))
    joined.extras = first.extras | second.extras
    joined.url = second.url or first.url
    if str(first.specifier) != str(second.specifier):
        if _pin(first.specifier) and _public(first.specifier) == _public(second.specifier):
            joined.specifier = _without_label(first.specifier, second.specifier)
        elif excludes(first.specifier, second.specifier):
            raise InvalidRequest(
                f"The requirements '{first}' and '{second}' exclude each other; keep one of them."
            )
        else:
            joined.specifier = first.specifier & second.specifier
    return joined


def excludes(first: SpecifierSet, second: SpecifierSet) -> bool:
    """Whether the version that one pins is not among those the other allows."""
    for one, other in ((first, second), (second, first)):
        version = _pin(one)
        if version is not None and not other.contains(version, prereleases=True):
            return True
    return False


def _pin(specifier: SpecifierSet) -> str | None:
    for each in specifier:
        if each.operator in ("==", "===") and not each.version.endswith(".*"):
            return each.version
    return None


def _public(specifier: SpecifierSet) -> str | None:
    version = _pin(specifier)
    return version.partition("+")[0] if version and len(specifier) == 1 else None


def _without_label(first: SpecifierSet, second: SpecifierSet) -> SpecifierSet:
    return second if "+" in (_pin(first) or "") else first
