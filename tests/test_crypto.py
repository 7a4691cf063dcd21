"""Sealing: opens only with the ring, only in its row, and goes on while keys change."""

from pathlib import Path

import pytest

from app.crypto import Keyring, SealBroken, digest, random_id, random_token


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Keyring.create(tmp_path / "ring.json")
    return tmp_path / "ring.json"


def test_a_seal_opens_for_its_owner_only(path: Path) -> None:
    ring = Keyring(path)
    sealed = ring.seal(b"secret", "users/1")
    assert ring.open(sealed, "users/1") == b"secret"
    with pytest.raises(SealBroken):
        ring.open(sealed, "users/2")


def test_every_flipped_character_breaks_it(path: Path) -> None:
    ring = Keyring(path)
    sealed = ring.seal(b"secret", "users/1")
    for position in range(len(sealed) - 2):  # the last characters carry padding bits
        other = "A" if sealed[position] != "A" else "B"
        with pytest.raises(SealBroken):
            ring.open(sealed[:position] + other + sealed[position + 1 :], "users/1")


def test_a_new_key_seals_and_the_old_one_still_opens_in_every_process(path: Path) -> None:
    ring, other_process = Keyring(path), Keyring(path)
    old = ring.seal(b"secret", "x")
    kid = ring.add_key()
    assert other_process.seal(b"secret", "x").startswith(kid)
    assert ring.open(old, "x") == b"secret"
    ring.forget_keys_before(kid)
    with pytest.raises(SealBroken):
        Keyring(path).open(old, "x")


def test_a_ring_that_is_lost_while_running_goes_on_serving(path: Path) -> None:
    ring = Keyring(path)
    sealed = ring.seal(b"secret", "x")
    path.unlink()
    assert ring.open(sealed, "x") == b"secret" and ring.seal(b"more", "x")
    path.write_text("garbage")
    assert ring.open(sealed, "x") == b"secret"
    with pytest.raises(SealBroken):
        Keyring(path)


def test_random_things_are_long_enough() -> None:
    assert len(random_token()) == 43 and len(random_id()) == 16
    assert random_token() != random_token() and len(digest("x")) == 64
