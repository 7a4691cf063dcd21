"""What tests rely on: a database that was used before looks as if it had not been."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from tests.databases import KINDS, Templates


def content(url: str) -> dict[str, object]:
    engine = create_engine(url)
    with engine.connect() as conn:
        events = "INSERT INTO events (at, type, reason, ip, request_id, user_agent, details) VALUES ('2026-11-01', "
        conn.execute(text(events + "'x', '', '', '', '', '{}')"))
        found = {
            "realms": conn.execute(text("SELECT id, name FROM realms ORDER BY id")).all(),
            "identifiers": conn.execute(
                text("SELECT key, user_id FROM identifiers ORDER BY key, user_id")
            ).all(),
            "version": conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one(),
            "next event": conn.execute(text("SELECT max(id) FROM events")).scalar_one(),
        }
        conn.execute(text("DELETE FROM users"))
        conn.execute(text("DELETE FROM realms"))
        conn.commit()
    engine.dispose()
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("has_cast", [False, True])
def test_a_borrowed_database_is_as_good_as_new(
    templates: Templates, tmp_path: Path, kind: str, has_cast: bool
) -> None:
    urls, contents = [], []
    for _ in range(3):
        with templates.borrowed(kind, tmp_path, has_cast=has_cast) as url:
            urls.append(url)
            contents.append(content(url))
    assert contents[0] == contents[1] == contents[2]
    assert len(contents[0]["identifiers"]) == (5 if has_cast else 0)  # type: ignore[arg-type]
    assert len(set(urls)) == 1, "the second and third time the same one"


def test_a_database_whose_tables_were_changed_is_not_used_again(templates: Templates, tmp_path: Path) -> None:
    with templates.borrowed("postgresql", tmp_path) as url:
        engine = create_engine(url)
        with engine.begin() as conn:
            conn.execute(text("DROP INDEX ix_identifiers_key"))
        engine.dispose()
    with templates.borrowed("postgresql", tmp_path) as again:
        assert again != url
