"""Network addresses: how one is written, what counts as one source, and who really asks from behind proxies."""

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]

CUSTOMER_BITS = 64  # what one IPv6 customer has to guess from
LONGEST = 60  # characters of an address with brackets and a port
MOST_HOPS = 100

_PORT = re.compile(r":[0-9]{1,5}")
_PAIR = re.compile(
    r"""\s*([!#$%&'*+.^_`|~0-9a-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s;,"]*))\s*([;,]|$)""", re.IGNORECASE
)


def read_address(text: str) -> Address | None:
    """One literal address; an IPv4 address that is written as IPv6 is that IPv4 address."""
    if "%" in text:  # a zone names a cable of somebody else's machine
        return None
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def is_in(text: str, networks: Iterable[IPv4Network | IPv6Network]) -> bool:
    found = read_address(text)
    return found is not None and any(found in network for network in networks)


def network_of(ip: str) -> str:
    """What counts as one source: an IPv4 address, or the /64 of an IPv6 customer."""
    found = read_address(ip)
    if isinstance(found, IPv6Address):
        return str(ip_network((found, CUSTOMER_BITS), strict=False))
    return ip if found is None else str(found)


def end_user_address(
    trusted: Networks, peer: str, forwarded_for: Sequence[str], forwarded: Sequence[str]
) -> str:
    """The socket's peer, or behind listed proxies the right-most hop that is not one of them.

    A proxy writes `X-Forwarded-For` or `Forwarded` and may pass the other on as it came, from anybody. So where both
    are there they must agree; where they do not, the proxy itself is all that is known.
    """
    if not is_in(peer, trusted):
        return peer
    lists = [
        hops
        for hops in (
            [part.strip() for line in forwarded_for for part in line.split(",")],
            [hop for line in forwarded for hop in _hops(line)],
        )
        if hops
    ]
    found = {_right_most(trusted, peer, hops) for hops in lists}
    return found.pop() if len(found) == 1 else _plain(peer)


def _right_most(trusted: Networks, peer: str, hops: list[str]) -> str:
    """An unreadable hop ends the walk: what stands left of it was written by whoever wrote it."""
    address = _plain(peer)
    for hop in hops[: -MOST_HOPS - 1 : -1]:
        if not is_in(address, trusted):
            break
        found = _read_hop(hop)
        if found is None:
            break
        address = str(found)
    return address


def _plain(ip: str) -> str:
    found = read_address(ip)
    return ip if found is None else str(found)


def _read_hop(text: str) -> Address | None:
    """An address, as some proxies write it with its port: `192.0.2.1:4711`, `[2001:db8::1]:4711`."""
    if len(text) > LONGEST:
        return None
    if text.startswith("["):
        inside, bracket, rest = text[1:].partition("]")
        is_whole = bool(bracket) and (not rest or _PORT.fullmatch(rest) is not None) and ":" in inside
        return read_address(inside) if is_whole else None
    host, colon, _ = text.partition(":")
    if "." in host and colon and _PORT.fullmatch(text[len(host) :]):
        text = host
    return read_address(text)


def _hops(line: str) -> list[str]:
    """The `for` of each element of a `Forwarded` header (RFC 7239 4); an element without a readable one is no address.

    What does not follow the grammar is one unreadable hop at the end, which ends the walk before it began.
    """
    hops, position, pairs = [], 0, dict[str, str]()
    while position < len(line) or pairs:
        match = _PAIR.match(line, position)
        if match is None or match.group(1).lower() in pairs:
            return ["unreadable"]
        quoted = match.group(2)
        pairs[match.group(1).lower()] = match.group(3) if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        position = match.end()
        if match.group(4) != ";":
            hops.append(pairs.get("for", "unknown"))
            pairs = {}
            if match.group(4) == "," and position >= len(line):
                return ["unreadable"]
    return hops
