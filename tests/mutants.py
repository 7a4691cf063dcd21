"""`python -m tests.mutants serve`: the server with one protection removed, to show that a test of it can fail.

Worker processes import this module as well, so the change is made on import and not in `main`.
"""

from typing import Any

from app.cli import main
from app.passwords import Passwords, Verdict

_verify = Passwords.verify


def _verify_somebody(self: Passwords, password: str, stored: str | None, *rest: Any, **more: Any) -> Verdict:
    """Without the work for nobody."""
    return Verdict(False) if stored is None else _verify(self, password, stored, *rest, **more)


Passwords.verify = _verify_somebody  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
