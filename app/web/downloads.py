"""`/exports/…`: the file of an export, for whoever holds its signed address, which lives a minute.

No header is asked for: a browser or `curl` fetches it. What the address carries is sealed for this one job.
"""

from datetime import datetime, timedelta

from flask import Blueprint, Response, request

from app.context import Context, Server
from app.crypto import SealBroken, owner_of
from app.errors import AccessDenied, NotFound
from app.store import jobs
from app.store.jobs import Job
from app.web.lifecycle import context

blueprint = Blueprint("downloads", __name__)

VALID_FOR = timedelta(seconds=60)
CHARACTERS = 300


def location(ctx: Context, job: Job) -> str:
    """A fresh address of an export's file."""
    expires = str((ctx.now + VALID_FOR).timestamp())
    signature = ctx.server.keyring.seal(expires.encode(), owner_of("exports", job.id))
    return f"{ctx.issuer}exports/{job.id}/users.{job.options['format']}.gz?signature={signature}"


def _is_valid(server: Server, job_id: str, signature: str, now: datetime) -> bool:
    try:
        return now.timestamp() <= float(server.keyring.open(signature, owner_of("exports", job_id)))
    except SealBroken:
        return False


@blueprint.get("/exports/<id>/<name>")
def download(id: str, name: str) -> Response:
    ctx = context()
    signature = request.args.get("signature", "")[:CHARACTERS]
    if not _is_valid(ctx.server, id, signature, ctx.now):
        raise AccessDenied("The address is wrong or has expired.", reason="bad_download")
    with ctx.db.read() as conn:
        job = jobs.find_job(conn, id)
    is_there = job is not None and job.status == "completed" and ctx.now <= job.kept_until
    if job is None or not is_there or name != f"users.{job.options.get('format')}.gz":
        raise NotFound(reason="no_such_export")
    response = Response(jobs.read_parts(ctx.db, id), content_type="application/gzip")
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
