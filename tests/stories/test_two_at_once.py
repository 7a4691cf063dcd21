"""Two logins of one person side by side, one of them a thief's who knows the password."""

from tests.making import CAROLS_PASSWORD, Cast
from tests.wire import Wire, code_of, refused


def carols(wire: Wire) -> str:
    return wire.mfa_token(password=CAROLS_PASSWORD, realm="guests")


def test_a_thief_s_recovery_code_is_not_confirmed_by_the_owner_s_enrolment(wire: Wire, cast: Cast) -> None:
    hers, thief_s = carols(wire), carols(wire)
    enrolled = wire.ok(wire.associate(hers))
    stolen = wire.ok(wire.associate(thief_s))["recovery_codes"][0]
    wire.ok(wire.otp(hers, code_of(enrolled["secret"])))
    refused(wire.recovery(carols(wire), stolen), 403, "invalid_grant", "MFA Authorization rejected.")
    wire.ok(wire.recovery(carols(wire), enrolled["recovery_codes"][0]))


def test_the_second_of_two_enrolments_comes_too_late(wire: Wire, cast: Cast) -> None:
    hers, thief_s = carols(wire), carols(wire)
    enrolled, late = wire.ok(wire.associate(hers)), wire.ok(wire.associate(thief_s))
    wire.ok(wire.otp(hers, code_of(enrolled["secret"])))
    answer = wire.otp(thief_s, code_of(late["secret"]))
    refused(answer, 403, "invalid_grant", "Invalid otp_code.")
    refused(wire.associate(thief_s), 403, "access_denied", "User is already enrolled.")


def test_a_person_s_login_is_never_for_the_management_api(wire: Wire, cast: Cast) -> None:
    audience = "http://127.0.0.1:8000/api/v2/"
    refused(wire.password("bob@example.com", audience=audience), 403, "access_denied")
