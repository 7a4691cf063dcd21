"""Attack protection, one file a guard. The verbs are the same in each:

`before` counts the attempt and may refuse it, and commits, so that an attempt is counted before it is looked at;
`failed` and `succeeded` settle it in the transaction that answers. A guard that only looked first and counted later
would let a hundred parallel guesses through.

Those that count passwords `reserve` in one transaction that they share, which `password_attempt.py` opens and settles.
"""
