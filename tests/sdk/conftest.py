"""Servers for the vendors' own SDKs: one over plain HTTP, one over TLS with a certificate authority of ours."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from auth0.management import ManagementClient

from tests import making
from tests.databases import KINDS, Templates
from tests.live import serving
from tests.sdk.site import Site


@pytest.fixture(scope="package", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="package")
def site(kind: str, templates: Templates, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Over plain HTTP."""
    with serving(templates, kind, tmp_path_factory.mktemp("http"), workers=2) as live:
        yield Site(live, making.make_cast(live.server))


@pytest.fixture(scope="package")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a certificate authority that nobody else trusts, and of a certificate for this machine."""
    folder = tmp_path_factory.mktemp("authority")
    ca = trustme.CA()
    ca.cert_pem.write_to_path(str(folder / "ca.pem"))
    issued = ca.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(str(folder / "key.pem"))
    for part in issued.cert_chain_pems:
        part.write_to_path(str(folder / "cert.pem"), append=True)
    return folder


@pytest.fixture(scope="package")
def secure_site(
    kind: str, authority: Path, templates: Templates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Over TLS."""
    files = {"BELAY_TLS_CERT": str(authority / "cert.pem"), "BELAY_TLS_KEY": str(authority / "key.pem")}
    with serving(templates, kind, tmp_path_factory.mktemp("https"), workers=2, **files) as live:
        yield Site(live, making.make_cast(live.server))


@pytest.fixture(scope="package")
def managed_site(
    kind: str, authority: Path, templates: Templates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    """Over TLS, for tests that turn keys and settings which the logins of other tests depend on."""
    files = {"BELAY_TLS_CERT": str(authority / "cert.pem"), "BELAY_TLS_KEY": str(authority / "key.pem")}
    with serving(templates, kind, tmp_path_factory.mktemp("managed"), workers=2, **files) as live:
        making.usual_limits(live.server)
        yield Site(live, making.make_cast(live.server))


@pytest.fixture
def trusted(authority: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """auth0-python's token provider takes no client of ours: the authority is told by the environment."""
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))


@pytest.fixture
def management(managed_site: Site, trusted: None) -> Iterator[ManagementClient]:
    """auth0-python's client with every scope, which fetches its token itself."""
    client_id, secret = managed_site.administrator()
    with managed_site.management(client_id=client_id, client_secret=secret) as client:
        yield client
