"""Parts that the bodies of operations are made of. Bodies are closed: a member that nobody knows is a typo."""

import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_METADATA_BYTES = 16 * 1024
MAX_LABELS = 10


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Lenient(BaseModel):
    """For parts where tools of different ages send different members: what is unknown is kept and shown."""

    model_config = ConfigDict(extra="allow", frozen=True, hide_input_in_errors=True)


Text128 = Annotated[str, Field(min_length=1, max_length=128)]
Text150 = Annotated[str, Field(min_length=1, max_length=150)]
Text300 = Annotated[str, Field(min_length=1, max_length=300)]


def is_small(value: dict[str, Any]) -> dict[str, Any]:
    """Raises ValueError for more than a person's or a login's metadata may hold."""
    if len(json.dumps(value)) > MAX_METADATA_BYTES:
        raise ValueError(f"Object is too large, maximum {MAX_METADATA_BYTES} bytes")
    return value


Email = Annotated[str, Field(min_length=3, max_length=320, pattern=r"^\S+@\S+$")]
Phone = Annotated[str, Field(pattern=r"^\+[0-9]{1,15}$")]
Username = Annotated[str, Field(min_length=1, max_length=128)]
Metadata = Annotated[dict[str, Any], AfterValidator(is_small)]
Labels = Annotated[
    dict[Annotated[str, Field(max_length=255)], Annotated[str, Field(max_length=255)] | None],
    Field(max_length=MAX_LABELS),
]
"""`client_metadata` and the like: at most ten short texts; null deletes one."""
