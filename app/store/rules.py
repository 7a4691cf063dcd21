"""The rules that administrators write, and the configuration that all of them read."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Boolean, Column, Connection, Integer, Table, Text, delete, func, insert, select, update
from sqlalchemy.dialects.postgresql import insert as insert_once

from app.store.actions import BoundAction, list_bound
from app.store.base import CONFIGURATION, metadata, row_of, value_of, won

POST_LOGIN = "post-login"  # the trigger that a login pulls

rules = Table(
    "rules",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("script", Text, nullable=False),
    Column("position", Integer, nullable=False, unique=True),
    Column("is_enabled", Boolean, nullable=False),
    info=CONFIGURATION,
)

rules_configs = Table(
    "rules_configs",
    metadata,
    Column("key", Text, primary_key=True),
    Column("sealed_value", Text, nullable=False),
    info=CONFIGURATION,
)


@dataclass(frozen=True)
class Rule:
    id: str
    name: str
    script: str
    position: int
    """Rules run in ascending order."""
    is_enabled: bool = True


@dataclass(frozen=True)
class SealedConfig:
    key: str
    sealed_value: str = field(repr=False)


@dataclass(frozen=True, eq=False)
class RuleSet:
    """What a login passes through. One value as long as nobody changes the configuration."""

    rules: tuple[Rule, ...] = ()
    """Enabled ones in their order."""
    configs: tuple[SealedConfig, ...] = ()
    actions: tuple[BoundAction, ...] = ()
    """Those bound to the trigger of a login; they run behind the rules."""

    @property
    def names(self) -> list[str]:
        """Of everything that runs; empty where nothing does."""
        return [rule.name for rule in self.rules] + [action.name for action in self.actions]


def get_rule_set(conn: Connection) -> RuleSet:
    enabled = select(rules).where(rules.c.is_enabled).order_by(rules.c.position)
    found = tuple(value_of(Rule, row) for row in conn.execute(enabled))
    return RuleSet(found, tuple(list_configs(conn)), tuple(list_bound(conn, POST_LOGIN)))


def list_rules(conn: Connection, is_enabled: bool | None = None) -> Sequence[Rule]:
    """In the order in which they run."""
    found = select(rules).order_by(rules.c.position)
    if is_enabled is not None:
        found = found.where(rules.c.is_enabled.is_(is_enabled))
    return [value_of(Rule, row) for row in conn.execute(found)]


def find_rule(conn: Connection, rule_id: str) -> Rule | None:
    row = conn.execute(select(rules).where(rules.c.id == rule_id)).first()
    return value_of(Rule, row) if row else None


def find_rule_by_name(conn: Connection, name: str) -> Rule | None:
    row = conn.execute(select(rules).where(rules.c.name == name)).first()
    return value_of(Rule, row) if row else None


def last_position(conn: Connection) -> int:
    """0 where there are no rules."""
    return int(conn.execute(select(func.coalesce(func.max(rules.c.position), 0))).scalar_one())


def add_rule(conn: Connection, rule: Rule) -> None:
    """Raises sqlalchemy's IntegrityError when the name or the position is taken."""
    conn.execute(insert(rules).values(**row_of(rule)))


def update_rule(conn: Connection, rule_id: str, **changes: object) -> None:
    """Raises sqlalchemy's IntegrityError when the name or the position is taken."""
    conn.execute(update(rules).where(rules.c.id == rule_id).values(**changes))


def remove_rule(conn: Connection, rule_id: str) -> bool:
    return won(conn.execute(delete(rules).where(rules.c.id == rule_id)))


# --- configuration -------------------------------------------------------------------------------------------------


def list_configs(conn: Connection) -> list[SealedConfig]:
    return [
        value_of(SealedConfig, row)
        for row in conn.execute(select(rules_configs).order_by(rules_configs.c.key))
    ]


def put_config(conn: Connection, config: SealedConfig) -> None:
    values = row_of(config)
    put = insert_once(rules_configs).values(**values)
    conn.execute(
        put.on_conflict_do_update(index_elements=["key"], set_={"sealed_value": config.sealed_value})
    )


def remove_config(conn: Connection, key: str) -> bool:
    return won(conn.execute(delete(rules_configs).where(rules_configs.c.key == key)))
