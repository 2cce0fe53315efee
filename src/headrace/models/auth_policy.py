"""With whose rights a served model uses its resources, as Databricks reads it; MLflow's names."""

from __future__ import annotations

from typing import Any

from headrace.models.resources import Resource, resources_as_dict


class UserAuthPolicy:
    """The scopes that who calls the model must have, such as "sql"."""

    def __init__(self, api_scopes: list[str]) -> None:
        self.api_scopes = api_scopes

    def to_dict(self) -> dict[str, Any]:
        """Its entry in the file."""
        return {"api_scopes": self.api_scopes}


class SystemAuthPolicy:
    """The resources that the model uses with rights of its own."""

    def __init__(self, resources: list[Resource]) -> None:
        self.resources = resources

    def to_dict(self) -> dict[str, Any]:
        """Its entry in the file."""
        return {"resources": resources_as_dict(self.resources)}


class AuthPolicy:
    """What a model may use with its own rights, and what with those of its caller."""

    def __init__(
        self,
        user_auth_policy: UserAuthPolicy | None = None,
        system_auth_policy: SystemAuthPolicy | None = None,
    ) -> None:
        self.user_auth_policy = user_auth_policy
        self.system_auth_policy = system_auth_policy

    def to_dict(self) -> dict[str, Any]:
        """What stands in `MLmodel`; an empty table for what is not said."""
        return {
            "system_auth_policy": self.system_auth_policy.to_dict()
            if self.system_auth_policy
            else {},
            "user_auth_policy": self.user_auth_policy.to_dict() if self.user_auth_policy else {},
        }
