"""What every section of the settings is made of."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True, hide_input_in_errors=True)


def setting(default: Any, description: str, *, restart: bool = False, **limits: Any) -> Any:
    """A key; its default is written as an operator would write it."""
    return Field(default, description=description, json_schema_extra={"restart": restart}, **limits)
