"""What was measured, and what could not be and why."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Measured:
    """Metrics by name; and by name what could not be computed, with the reason in words."""

    values: dict[str, float] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def add(self, other: Measured) -> None:
        """Take in what another measurement has."""
        self.values |= other.values
        self.missing |= other.missing

    def lacks(self, reason: str, *names: str) -> None:
        """Note why these metrics cannot be computed."""
        self.missing |= dict.fromkeys(names, reason)
