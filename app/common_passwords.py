"""Texts that too many people use as a password, out of zxcvbn's frequency lists."""

import importlib
from functools import lru_cache

PASSWORDS = 10_000
WORDS = 5_000  # of each further list, names and English words among them

SMALL, LARGE = "en_10k", "en_100k"


@lru_cache
def common_passwords(name: str) -> frozenset[str]:
    """Lower-case texts that nobody may use as a whole password where the dictionary of that name is on.

    Each text stands in one list only, where it ranks best, `michael` among the names. So the list of passwords alone
    would miss four in ten of the 10,000 most common ones; with the heads of the others it misses one.
    """
    # Loaded here and not above: 14 MiB in a worker, of which a realm without a dictionary needs nothing.
    lists: dict[str, list[str]] = dict(importlib.import_module("zxcvbn.frequency_lists").FREQUENCY_LISTS)
    if name == LARGE:
        return frozenset(text for texts in lists.values() for text in texts)
    passwords = lists.pop("passwords")[:PASSWORDS]
    return frozenset(passwords).union(*(texts[:WORDS] for texts in lists.values()))
