"""What holds for every grant in the list."""

import pytest

from app.grants import GRANTS
from app.grants.grant import Grant
from tests import making
from tests.making import Cast
from tests.wire import APP, PHONE_APP, Wire, refused

every_grant = pytest.mark.parametrize("grant", GRANTS.values(), ids=lambda grant: grant.grant_type)


def filled(grant: Grant) -> dict[str, str]:
    return {"grant_type": grant.grant_type} | {p.name: "x" for p in grant.params if p.is_required}


@every_grant
def test_names_the_missing_parameter(wire: Wire, cast: Cast, grant: Grant) -> None:
    for param in [p for p in grant.params if p.is_required]:
        members = filled(grant) | APP
        for absent in ({}, {param.name: ""}):
            sent = {name: value for name, value in members.items() if name != param.name} | absent
            answer = wire.post("/oauth/token", **sent)
            refused(answer, 400, "invalid_request", f"Missing required parameter: {param.name}")
        nulled = wire.post_json("/oauth/token", **(members | {param.name: None}))
        refused(nulled, 400, "invalid_request", f"Missing required parameter: {param.name}")


@every_grant
def test_refuses_an_unknown_client_before_anything_else(wire: Wire, cast: Cast, grant: Grant) -> None:
    answer = wire.post("/oauth/token", grant_type=grant.grant_type, client_id="nobody", client_secret="x")
    refused(answer, 401, "access_denied", "Unauthorized")


@every_grant
def test_refuses_a_client_that_was_not_given_the_grant(wire: Wire, cast: Cast, grant: Grant) -> None:

    making.make_client(wire.server, "poor", secret="p" * 40, grant_types=())
    answer = wire.post("/oauth/token", client_id="poor", client_secret="p" * 40, **filled(grant))
    text = f"Grant type '{grant.grant_type}' not allowed for the client."
    refused(answer, 403, "unauthorized_client", text)
    assert answer.json is not None
    assert answer.json["error_uri"] == "https://auth0.com/docs/clients/client-grant-types"


@every_grant
def test_refuses_a_parameter_that_comes_twice(wire: Wire, cast: Cast, grant: Grant) -> None:
    answer = wire.client.post(
        "/oauth/token",
        data=f"grant_type={grant.grant_type}&client_id=app&client_id=app",
        content_type="application/x-www-form-urlencoded",
    )
    refused(answer, 400, "invalid_request", "Parameter given twice: client_id")


@every_grant
def test_answers_are_never_stored(wire: Wire, cast: Cast, grant: Grant) -> None:
    answer = wire.post("/oauth/token", **(filled(grant) | APP))
    assert answer.headers["Cache-Control"] == "no-store" and answer.headers["Pragma"] == "no-cache"
    assert answer.headers["Content-Type"] == "application/json"
    assert wire.client.get("/oauth/token").status_code == 405


def test_client_credentials_are_not_for_public_clients(wire: Wire, cast: Cast) -> None:
    answer = wire.post("/oauth/token", grant_type="client_credentials", **PHONE_APP)
    text = "Grant type 'client_credentials' not allowed for the client."
    refused(answer, 403, "unauthorized_client", text)


def test_an_unknown_grant_type_is_told(wire: Wire, cast: Cast) -> None:
    refused(wire.token(grant_type="implicit"), 400, "unsupported_grant_type", "Grant type not supported")
    refused(wire.token(), 400, "invalid_request", "Missing required parameter: grant_type")
    missing = wire.post("/oauth/token", grant_type="password")
    refused(missing, 401, "invalid_client", "Missing client_id")
