"""A real browser with a security key inside, and pages of our own for it."""

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from playwright.sync_api import ConsoleMessage, Page, sync_playwright

from tests.databases import missing

FLAGS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--metrics-recording-only",
    "--no-first-run",
    "--no-pings",
]


@contextmanager
def browsing(*, has_script: bool = True, transport: str = "usb") -> Iterator[Page]:
    """A page in Chromium. Its security key is touched, and its owner verified, whenever it is asked.

    Whatever the browser complains of (a content security policy, a script that fails) is an error of the test.
    """
    program = shutil.which("chromium")
    if program is None:
        missing("chromium")
    complaints: list[str] = []
    flags = [*FLAGS, "--no-sandbox"] if os.getuid() == 0 else FLAGS
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        page = browser.new_context(java_script_enabled=has_script).new_page()
        page.on("console", lambda said: complaints.append(said.text) if _is_complaint(said) else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        session = page.context.new_cdp_session(page)
        session.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": transport,
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        try:
            yield page
        finally:
            browser.close()
    assert complaints == []


def _is_complaint(said: ConsoleMessage) -> bool:
    """A refusal is an answer, too."""
    return said.type == "error" and not said.text.startswith("Failed to load resource")


@contextmanager
def serving_page(html: str) -> Iterator[str]:
    """Serves one page to everybody who asks this machine; yields its origin."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = html.encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Pages)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
