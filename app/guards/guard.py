"""What all guards share."""


class Pending(Exception):
    """No room for this attempt while others are being looked at, but maybe afterwards: wait, do not refuse.

    Valid logins in parallel must not lock each other out.
    """
