"""The password grant with the realm as a required parameter."""

from app.grants import password
from app.grants.grant import Grant, Param

GRANT = Grant(
    "http://auth0.com/oauth/grant-type/password-realm",
    (*password.PARAMS, Param("realm", is_required=True)),
    password.handle,
    "sepft",
    "fepft",
)
