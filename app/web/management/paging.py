"""Lists: offset paging with and without totals, checkpoint paging, and the choice of members."""

from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from app.errors import NotPossible
from app.web.management.wire import present

T = TypeVar("T")

DEFAULT_SIZE = 50
COUNTED_UP_TO = 100_000  # a total beyond costs more than it tells: nobody pages that far by number


def _boolean(value: object) -> object:
    return (
        {"true": True, "false": False, "1": True, "0": False}.get(value, value)
        if isinstance(value, str)
        else value
    )


Flag = Annotated[bool, BeforeValidator(_boolean)]


class Query(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, populate_by_name=False)


class Fields(Query):
    fields: str | None = Field(
        None, pattern=r"^((([a-z0-9_]+)(\.[a-z0-9_]+)*)(,(([a-z0-9_]+)(\.[a-z0-9_]+)*))*)?$"
    )
    include_fields: Flag = True


class Paged(Query):
    page: int = Field(0, ge=0, le=1_000_000)
    per_page: int = Field(DEFAULT_SIZE, ge=0, le=100)
    include_totals: Flag = False


class Checkpoint(Query):
    from_: str | None = Field(None, alias="from", max_length=300)
    take: int | None = Field(None, ge=1, le=100)


class Anywhere(Paged, Checkpoint):
    """Both styles; where `take` is sent, the checkpoint wins."""


def choose(members: dict[str, Any], query: Any, legal: Iterable[str] = ()) -> dict[str, Any]:
    """The members that were asked for. Raises NotPossible for a name that the resource never has."""
    if not query.fields:
        return members
    names = {name.split(".")[0] for name in query.fields.split(",")}
    strange = names - set(legal) - set(members)
    if strange:
        text = f"Query validation error: 'Unknown field {min(strange)}' on property fields."
        raise NotPossible(text, reason="invalid_query_string")
    return {name: value for name, value in members.items() if (name in names) == query.include_fields}


def offset_page(
    query: Any, key: str, shown: Sequence[object], total: Callable[[], int], *, has_length: bool = False
) -> object:
    """A bare array, or the object form where totals are asked for. A page past the end is empty, never an error."""
    if not query.include_totals:
        return list(shown)
    found: dict[str, object] = {
        "start": query.page * query.per_page,
        "limit": query.per_page,
        "total": total(),
    }
    if has_length:
        found["length"] = len(shown)
    return found | {key: [present(part) for part in shown]}


def checkpoint_page(
    query: Any,
    key: str,
    found: Callable[[int, str], Sequence[T]],
    id_of: Callable[[T], str],
    view: Callable[[T], Any],
) -> dict[str, object]:
    """`found(limit, after)` in order of ids; `next` is left out on the last page."""
    size = query.take or DEFAULT_SIZE
    rows = list(found(size + 1, query.from_ or ""))
    shown: dict[str, object] = {key: [present(view(row)) for row in rows[:size]]}
    if len(rows) > size:
        shown["next"] = id_of(rows[size - 1])
    return shown


def whole_page(query: Any, key: str, everything: Sequence[T], view: Callable[[T], Any]) -> object:
    """An offset page of a list that is short enough to be read whole."""
    first = query.page * query.per_page
    shown = [view(row) for row in everything[first : first + query.per_page]]
    return offset_page(query, key, shown, lambda: len(everything))
