"""Who really asks: 120 spellings of forwarding headers from four kinds of peers, one table."""

import ipaddress
import itertools
from dataclasses import replace

import pytest

from app.addresses import end_user_address, is_in, network_of, read_address
from app.context import Server
from tests.evidence import report
from tests.making import Cast
from tests.wire import Wire

PROXIES = tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/8", "192.168.1.1/32", "fd00:1::/32"))
STRANGER, PROXY, PROXY_6, MAPPED = "192.0.2.1", "10.0.0.1", "fd00:1::9", "::ffff:10.0.0.1"
USER = "203.0.113.7"
PEER = ""  # nothing is learned: the proxy's own address

# What a proxy may find itself sending: (X-Forwarded-For lines, Forwarded lines, the user's address or PEER).
SPELLINGS: list[tuple[list[str], list[str], str]] = [
    ([], [], PEER),
    ([USER], [], USER),
    ([f" {USER}\t"], [], USER),
    ([f"6.6.6.6, {USER}"], [], USER),
    ([f"6.6.6.6,{USER}, 10.9.9.9"], [], USER),
    ([f"6.6.6.6, {USER}, 10.9.9.9, 192.168.1.1"], [], USER),
    (["6.6.6.6", USER], [], USER),
    ([USER, "10.2.2.2"], [], USER),
    ([f"{USER}:4711"], [], USER),
    ([f"::ffff:{USER}"], [], USER),
    (["2001:db8::7"], [], "2001:db8::7"),
    (["[2001:db8::7]"], [], "2001:db8::7"),
    (["[2001:db8::7]:4711"], [], "2001:db8::7"),
    (["2001:DB8:0:0:0:0:0:7"], [], "2001:db8::7"),
    ([f"{USER}, fd00:1::5"], [], USER),
    ([f"{USER}, [fd00:1::5]:80"], [], USER),
    (["10.1.1.1"], [], "10.1.1.1"),  # somebody inside
    ([""], [], PEER),
    ([","], [], PEER),
    ([f"{USER},"], [], PEER),
    ([f"{USER}, "], [], PEER),
    ([f"{USER}, unknown"], [], PEER),
    ([f"{USER}, nonsense"], [], PEER),
    ([f"{USER}, 10.0.0.256"], [], PEER),
    ([f"{USER}, 010.0.0.1"], [], PEER),
    ([f"{USER}, 0x0a.0.0.1"], [], PEER),
    ([f"{USER}, 167772161"], [], PEER),
    ([f"{USER}, 10.1"], [], PEER),
    ([f"{USER}, fe80::1%eth0"], [], PEER),
    ([f"{USER}, 10.0.0.1/8"], [], PEER),
    ([f"{USER}:port"], [], PEER),
    ([f"{USER}:"], [], PEER),
    ([f"{USER}:123456"], [], PEER),
    ([f"[{USER}]"], [], PEER),
    (["[2001:db8::7"], [], PEER),
    (["[2001:db8::7]x"], [], PEER),
    (["2001:db8::7]"], [], PEER),
    ([f"{USER};"], [], PEER),
    ([f'"{USER}"'], [], PEER),
    ([f"for={USER}"], [], PEER),
    (["localhost"], [], PEER),
    (["\u0661\u0662.0.0.1"], [], PEER),
    (["1.2.3.4" + "0" * 5000], [], PEER),
    (["203.0.113.7, " + "10.0.0.2, " * 300 + "10.0.0.3"], [], "10.0.0.2"),
    ([], [f"for={USER}"], USER),
    ([], [f"For={USER}"], USER),
    ([], [f'for="{USER}"'], USER),
    ([], [f'for="{USER}:4711"'], USER),
    ([], ['for="[2001:db8::7]"'], "2001:db8::7"),
    ([], ['FOR="[2001:db8::7]:4711"'], "2001:db8::7"),
    ([], [f"for={USER};proto=https;by=10.0.0.1"], USER),
    ([], [f"proto=https;for={USER};host=example.com"], USER),
    ([], [f"by=10.0.0.1; for={USER}"], USER),
    ([], [f"for=6.6.6.6, for={USER}"], USER),
    ([], [f"for=6.6.6.6,for={USER};by=10.0.0.1 , for=10.9.9.9"], USER),
    ([], ["for=6.6.6.6", f"for={USER}"], USER),
    ([], [f'for={USER};host="a,b;for=9.9.9.9"'], USER),
    ([], [rf'for={USER};host="quo\"te, for=9.9.9.9"'], USER),
    ([], [f"for={USER}, for=unknown"], PEER),
    ([], [f"for={USER}, for=_hidden"], PEER),
    ([], [f"for={USER}, proto=https"], PEER),
    ([], [f"for={USER}, for="], PEER),
    ([], [f"for={USER}, for"], PEER),
    ([], [f"for={USER},"], PEER),
    ([], [f"for={USER};for=9.9.9.9"], PEER),
    ([], [f"for={USER};For=9.9.9.9"], PEER),
    ([], [f'for="{USER}'], PEER),
    ([], ["for=[2001:db8::7]"], "2001:db8::7"),
    ([], [f"for = {USER}"], PEER),
    ([], [USER], PEER),
    ([], ["\x00"], PEER),
    ([], ['for="' + "\\" * 999 + '"'], PEER),
    ([], [";"], PEER),
    ([], ["for=2001:db8::7"], "2001:db8::7"),
    ([], [f"for={USER}:4711"], USER),
    # Both: a proxy writes one and may pass the other on as anybody sent it.
    ([USER], [f"for={USER}"], USER),
    ([f"6.6.6.6, {USER}"], [f"for={USER};by=10.0.0.1"], USER),
    ([USER], ["for=6.6.6.6"], PEER),
    (["6.6.6.6"], [f"for={USER}"], PEER),
    ([USER], ["nonsense"], PEER),
    ([""], [f"for={USER}"], PEER),
    ([USER], ["for=unknown"], PEER),
    ([f"::ffff:{USER}"], [f"for={USER}"], USER),
    (["2001:db8::7"], ['for="[2001:0db8::7]:99"'], "2001:db8::7"),
    # What is no address is none, whoever else would read it as one.
    *(
        ([f"{USER}, {odd}"], [], PEER)
        for odd in ("*", "-", "null", "None", "0", "1", "::g", ":::", "1.2.3", "1.2.3.4.5")
    ),
    *(
        ([f"{USER}, {odd}"], [], PEER)
        for odd in ("1..2.3", "1.2.3.-4", "+1.2.3.4", "1.2.3.4\u200b", "１.2.3.4", "a.b.c.d")
    ),
    *(
        ([f"{USER}, {odd}"], [], PEER)
        for odd in ("[::1", "::1]", "[]", "[]:80", "[::1]:", "[::1]:x", "[1.2.3.4]:80")
    ),
    *(
        ([f"{USER}, {odd}"], [], PEER)
        for odd in ("http://10.0.0.2", "10.0.0.2/", "10.0.0.2 10.0.0.3", "10.0.0.2;q=1")
    ),
    ([f"{USER}, ::ffff:10.0.0.2"], [], USER),
    ([f"{USER}, [::ffff:10.0.0.2]:99"], [], USER),
    ([f"{USER}, 10.0.0.2:443, 10.0.0.3:80"], [], USER),
    (["6.6.6.6, 203.0.113.7 , fd00:1::2"], [], USER),
    (["0.0.0.0"], [], "0.0.0.0"),
    (["255.255.255.255"], [], "255.255.255.255"),
    (["::"], [], "::"),
    (["127.0.0.1"], [], "127.0.0.1"),
    (["::1"], [], "::1"),
    ([], [f"for={USER};for"], PEER),
    ([], [f"for={USER} ; proto=http"], USER),
    ([], [f"secret=x;for={USER}"], USER),
    ([], [f"for={USER};=x"], PEER),
]
# As a stranger would forge them: whatever number of hops and repeats, it is the stranger who is seen.
FORGED = [
    ([", ".join(hops)], [", ".join(f"for={hop}" for hop in hops)] if both else [], PEER)
    for hops, both in itertools.product(
        [
            ["127.0.0.1"],
            ["10.0.0.1"],
            ["10.0.0.1", "127.0.0.1"],
            ["::1"],
            ["fd00:1::1"],
            ["10.0.0.2", "10.0.0.1"],
        ],
        (False, True),
    )
]


def test_every_spelling_from_every_kind_of_peer() -> None:
    assert len({(*one, "/", *other) for one, other, _ in SPELLINGS}) == len(SPELLINGS) >= 120
    for peer in (STRANGER, PROXY, PROXY_6, MAPPED):
        itself = peer if peer != MAPPED else PROXY
        for forwarded_for, forwarded, user in SPELLINGS:
            expected = itself if peer == STRANGER or user == PEER else user
            found = end_user_address(PROXIES, peer, forwarded_for, forwarded)
            assert found == expected, (peer, forwarded_for, forwarded)
    for forwarded_for, forwarded, _ in FORGED:
        assert end_user_address(PROXIES, STRANGER, forwarded_for, forwarded) == STRANGER
        assert end_user_address((), PROXY, forwarded_for, forwarded) == PROXY, "no proxy is listed"
    tried = 4 * len(SPELLINGS) + 2 * len(FORGED)
    report(
        "T28 forwarding headers", tried=f"{tried} spellings and peers", held="each the address of the table"
    )


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_every_spelling_is_answered_and_the_event_names_the_address(server: Server, cast: Cast) -> None:
    wire = Wire(replace(server, settings=server.settings.model_copy(update={"trusted_proxies": PROXIES})))
    sent = [(found, peer) for found in SPELLINGS for peer in (STRANGER, PROXY, PROXY_6, MAPPED)]
    expected = []
    for (forwarded_for, forwarded, user), peer in sent:
        wire.client.environ_base["REMOTE_ADDR"] = peer
        headers = [("X-Forwarded-For", text) for text in forwarded_for]
        headers += [("Forwarded", text) for text in forwarded]
        answer = wire.token(grant_type="password", client_secret="wrong", headers=headers)
        assert answer.status_code == 401, (headers, answer.text)
        itself = PROXY if peer == MAPPED else peer
        expected.append(itself if peer == STRANGER or user == PEER else user)
    assert [event.ip for event in wire.events()] == expected


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::", "2001:db8:1:2::/64"),
        ("nonsense", "nonsense"),
        ("", ""),
    ],
)
def test_what_counts_as_one_source(text: str, source: str) -> None:
    assert network_of(text) == source


def test_a_zone_is_no_address_and_a_mapped_one_is_in_its_network() -> None:
    assert read_address("fe80::1%eth0") is None
    assert is_in("::ffff:10.1.2.3", PROXIES) and not is_in("11.1.2.3", PROXIES) and not is_in("x", PROXIES)
