"""A telephone, as administrators see it: one method with the ways that lead to it."""

import pytest

from tests import making
from tests.making import Cast
from tests.management.conftest import Admin, refused
from tests.stories.test_telephone import BOB, twins
from tests.wire import Wire


@pytest.fixture(autouse=True)
def switched_on(wire: Wire, cast: Cast) -> None:
    making.switch_on(wire.server, "sms")


def test_an_administrator_sees_one_method_with_two_ways_and_says_which_is_preferred(
    wire: Wire, cast: Cast, admin: Admin
) -> None:
    text, call = twins(making.enroll_phone(wire.server, cast.bob))
    methods = f"/users/{cast.bob.id}/authentication-methods"
    (method,) = admin.get(methods)
    ways = [{"type": "sms", "id": text}, {"type": "voice", "id": call}]
    assert (method["preferred_authentication_method"], method["authentication_methods"]) == ("sms", ways)
    changed = admin.patch(f"{methods}/{call}", {"preferred_authentication_method": "voice"})
    assert (changed["id"], changed["preferred_authentication_method"]) == (text, "voice")
    assert changed["authentication_methods"] == ways[::-1] and admin.get(f"{methods}/{text}") == changed
    wire.ok(wire.challenge(wire.mfa_token(BOB), challenge_type="oob"))
    assert wire.events()[-1].factor == "voice"
    shown = admin.get(f"/guardian/enrollments/{call}")
    assert shown == admin.get(f"/guardian/enrollments/{text}") and shown["auth_method"] == "sms"
    admin.delete(f"{methods}/{call}")
    assert admin.get(methods) == []


def test_only_a_telephone_has_a_preferred_way(wire: Wire, cast: Cast, admin: Admin) -> None:
    (method,) = [
        m for m in admin.get(f"/users/{cast.alice.id}/authentication-methods") if m["type"] == "totp"
    ]
    path = f"/users/{cast.alice.id}/authentication-methods/{method['id']}"
    answer = admin.ask("PATCH", path, {"preferred_authentication_method": "voice"})
    refused(answer, 400, "invalid_body", "preferred_authentication_method is for telephones only.")


def test_the_same_number_is_no_second_telephone(wire: Wire, cast: Cast, admin: Admin) -> None:
    methods = f"/users/{cast.bob.id}/authentication-methods"
    phone = {"type": "phone", "phone_number": "+491701234567"}
    admin.post(methods, phone)
    again = admin.ask("POST", methods, phone | {"preferred_authentication_method": "voice"})
    refused(again, 409, "authentication_method_already_exists")
