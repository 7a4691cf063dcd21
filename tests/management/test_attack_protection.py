"""`/attack-protection`: settings of the guards."""

from app.context import Context
from app.documents import secrets_of
from app.store.documents import find_document
from tests import making
from tests.management.conftest import Admin

PATH = "/attack-protection/captcha"


def test_secrets_of_captcha_providers_are_kept_and_not_shown(admin: Admin) -> None:
    first = {"site_key": "site", "secret": "s3cret-of-hcaptcha"}
    enterprise = {"site_key": "site", "project_id": "p", "api_key": "s3cret-of-google"}
    changed = admin.patch(PATH, {"active_provider_id": "hcaptcha", "hcaptcha": first})
    assert changed == {"active_provider_id": "hcaptcha", "hcaptcha": {"site_key": "site"}}
    changed = admin.patch(PATH, {"recaptcha_enterprise": enterprise})
    assert changed == admin.get(PATH) and "s3cret" not in str(changed)
    assert changed["recaptcha_enterprise"] == {"site_key": "site", "project_id": "p"}
    assert "s3cret" not in str(admin.get("/logs"))
    server = admin.wire.server
    with server.db.read() as conn:
        document = find_document(conn, "attack-protection/captcha")
    assert document is not None and "s3cret" not in str(document.content)
    opened = secrets_of(Context(server, making.now(), ip=""), document)
    assert opened == {
        "hcaptcha.secret": "s3cret-of-hcaptcha",
        "recaptcha_enterprise.api_key": "s3cret-of-google",
    }
    assert admin.patch(PATH, changed) == changed
