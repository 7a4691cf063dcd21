"""Reads a body of multipart/form-data: files as bytes, everything else as text. All of it stays in memory.

Werkzeug would spool a large part to a file on disk, and what is sent here holds password hashes.
"""

from io import BytesIO
from typing import IO, Any

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.formparser import MultiPartParser

from app.errors import NotPossible, PayloadTooLarge
from app.web.body import MAX_MANAGEMENT_BYTES
from app.web.management.body import check_text

MAX_FILE_BYTES = 512_000  # Auth0's limit of an import
MAX_FIELD_BYTES = 128 * 1024  # Werkzeug counts what it has not looked at yet, too
CHUNK = 16 * 1024
MAX_PARTS = 20
TOO_LARGE = f"Payload content length greater than maximum allowed: {MAX_FILE_BYTES}"


def read_parts() -> dict[str, str | bytes]:
    """The parts by name. Raises NotPossible, PayloadTooLarge."""
    raw = request.stream.read(MAX_MANAGEMENT_BYTES + 1)
    if len(raw) > MAX_MANAGEMENT_BYTES:
        raise _too_large()
    boundary = request.mimetype_params.get("boundary", "")
    if request.mimetype != "multipart/form-data" or not boundary:
        raise NotPossible("Payload validation error: 'The body must be multipart/form-data'.")
    parser = MultiPartParser(
        stream_factory=_in_memory,
        max_form_memory_size=MAX_FIELD_BYTES,
        max_form_parts=MAX_PARTS,
        buffer_size=CHUNK,
    )
    try:
        fields, files = parser.parse(BytesIO(raw), boundary.encode("latin-1"), len(raw))
    except (ValueError, RequestEntityTooLarge):
        raise NotPossible("Payload validation error: 'The parts cannot be read'.") from None
    found: dict[str, str | bytes] = {}
    for name, value in fields.items(multi=True):
        _add(found, name, value)
    for name, file in files.items(multi=True):
        content = file.stream.read()
        if len(content) > MAX_FILE_BYTES:
            raise _too_large()
        _add(found, name, content)
    check_text(list(fields.items(multi=True)))
    return found


def _too_large() -> PayloadTooLarge:
    return PayloadTooLarge(TOO_LARGE, reason="payload_too_large")


def _add(found: dict[str, str | bytes], name: str | None, value: str | bytes) -> None:
    """A name that comes twice is refused: two readers would pick different ones."""
    if name is None or name in found:
        raise NotPossible("Payload validation error: 'A part without a name, or two of one name'.")
    found[name] = value


def _in_memory(*_: Any, **__: Any) -> IO[bytes]:
    return BytesIO()
