"""Settings: precedence, files, and clear complaints."""

from pathlib import Path

import pytest

from app.settings import SettingsInvalid, load


def test_environment_before_file_before_default(tmp_path: Path) -> None:
    (tmp_path / "settings.toml").write_text('log_level = "debug"\nport = 9000\n')
    found, _ = load({"BELAY_INSTANCE": str(tmp_path), "PORT": "9001"})
    assert (found.log_level, found.port, found.hash_time) == ("debug", 9001, 2)
    assert found.issuer == "http://127.0.0.1:9001/"
    assert found.database_url == f"sqlite:///{tmp_path / 'belay.db'}"


@pytest.mark.parametrize(
    ("env", "complaint"),
    [
        ({"BELAY_PUBLIC_URL": "http://login.example.com/"}, "must be an https:// address"),
        ({"BELAY_PUBLIC_URL": "https://login.example.com/?x=1"}, "must be a plain address"),
        ({"BELAY_DATABASE_URL": "mysql://x"}, "must begin with sqlite:/// or postgresql://"),
        ({"BELAY_TLS_CERT": "x"}, "BELAY_TLS_CERT and BELAY_TLS_KEY go together"),
        ({"BELAY_BOOTSTRAP_CLIENT_ID": "x"}, "go together"),
        ({"BELAY_BOOTSTRAP_CLIENT_ID": "x", "BELAY_BOOTSTRAP_CLIENT_SECRET": "short"}, "at least 32"),
        ({"BELAY_TRUSTED_PROXIES": "10.0.0.0/8, nonsense"}, "BELAY_TRUSTED_PROXIES"),
        ({"BELAY_DATABASE_URL_FILE": "/does/not/exist"}, "BELAY_DATABASE_URL_FILE"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(tmp_path: Path, env: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingsInvalid) as refused:
        load({"BELAY_INSTANCE": str(tmp_path)} | env)
    assert complaint in str(refused.value)
    assert "short" not in str(refused.value)


def test_a_misspelt_name_is_noticed(tmp_path: Path) -> None:
    _, warnings = load({"BELAY_INSTANCE": str(tmp_path), "BELAY_PUBLIC_ULR": "x"})
    assert warnings == ["BELAY_PUBLIC_ULR is not a setting; did you mean BELAY_PUBLIC_URL?"]
