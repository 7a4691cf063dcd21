"""`/emails/provider`, `/email-templates`: how mail leaves, and what it says."""

from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import Connection

from app import accounts
from app.errors import Conflict, Missing, NotPossible
from app.store import documents
from app.store.tenant import lock_tenant
from app.web.management.operation import Call, operation
from app.web.management.paging import Fields, choose
from app.web.management.schema import Body, Lenient

PROVIDER = "emails/provider"
NO_PROVIDER = "There is not a configured email provider"
SECRETS = ("smtp_pass", "api_key", "accessKeyId", "secretAccessKey", "connectionString", "clientSecret")
MEMBERS = ("name", "enabled", "default_from_address", "credentials", "settings")

ProviderName = Literal[
    "smtp",
    "sendgrid",
    "mailgun",
    "mandrill",
    "ses",
    "sparkpost",
    "resend",
    "azure_cs",
    "ms365",
    "custom",
]


class Credentials(Lenient):
    smtp_host: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    smtp_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    smtp_user: str | None = None
    smtp_pass: str | None = None
    api_key: str | None = None
    domain: str | None = None
    region: str | None = None


class Changes(Body):
    name: ProviderName | None = None
    enabled: bool | None = None
    default_from_address: Annotated[str, Field(max_length=320)] | None = None
    credentials: Credentials | None = None
    settings: dict[str, Any] | None = None


class NewProvider(Changes):
    name: ProviderName
    credentials: Credentials


def _known(conn: Connection) -> dict[str, Any]:
    """Raises Missing."""
    found = documents.find_document(conn, PROVIDER)
    if found is None:
        raise Missing(NO_PROVIDER, reason="inexistent_email_provider")
    content: dict[str, Any] = found.content
    return content


@operation("GET", "/emails/provider", scopes="read:email_provider", query=Fields)
def show_provider(call: Call) -> object:
    """The mail provider; without `fields` its name and whether it is on. Secrets are never shown"""
    with call.ctx.db.read() as conn:
        content = _known(conn)
    if not call.query.fields:
        return {name: content[name] for name in ("name", "enabled") if name in content}
    return choose(content, call.query, MEMBERS)


def _write(call: Call, conn: Connection, old: dict[str, Any], given: Changes) -> dict[str, Any]:
    new = given.model_dump(mode="json", exclude_unset=True)
    credentials = new.get("credentials") or {}
    secrets = {name: str(credentials.pop(name)) for name in SECRETS if credentials.get(name) is not None}
    if new.get("name", old.get("name")) != old.get("name"):  # nothing of another provider holds for this one
        old = {name: value for name, value in old.items() if name not in ("settings", "credentials")}
    content = old | new
    if content["name"] == "smtp" and not {"smtp_host", "smtp_port"} <= set(content.get("credentials") or {}):
        raise NotPossible("Payload validation error: 'Missing required property: smtp_host or smtp_port'.")
    accounts.put_document(conn, call.ctx, PROVIDER, content, secrets or None)
    return content


@operation("POST", "/emails/provider", scopes="create:email_provider", ok=201, body=NewProvider)
def create_provider(call: Call) -> object:
    """Configure the mail provider"""
    with call.ctx.db.write() as conn:
        if documents.find_document(conn, PROVIDER) is not None:
            raise Conflict("Email provider is already configured.", reason="email_provider_conflict")
        return _write(call, conn, {"enabled": True}, call.body)


@operation("PATCH", "/emails/provider", scopes="update:email_provider", body=Changes)
def update_provider(call: Call) -> object:
    """Change the mail provider"""
    with call.ctx.db.write() as conn:
        lock_tenant(conn)
        return _write(call, conn, _known(conn), call.body)


@operation("DELETE", "/emails/provider", scopes="delete:email_provider", ok=204)
def delete_provider(call: Call) -> object:
    """Forget the mail provider"""
    with call.ctx.db.write() as conn:
        _known(conn)
        accounts.remove_document(conn, call.ctx, PROVIDER)
    return None


# --- templates -----------------------------------------------------------------------------------------------------

TemplateName = Literal[
    "mfa_oob_code",
    "enrollment_email",
    "verify_email",
    "verify_email_by_code",
    "reset_email",
    "reset_email_by_code",
    "welcome_email",
    "blocked_account",
    "stolen_credentials",
    "user_invitation",
    "async_approval",
    "change_password",
    "password_reset",
]
NAMES: tuple[str, ...] = TemplateName.__args__  # type: ignore[attr-defined]
NO_TEMPLATE = "The template does not exist."


class TemplateChanges(Body):
    template: TemplateName | None = None
    body: Annotated[str, Field(max_length=200_000)] | None = None
    from_: str | None = Field(None, alias="from", max_length=1000)
    subject: Annotated[str, Field(max_length=1000)] | None = None
    resultUrl: Annotated[str, Field(max_length=2000)] | None = None
    syntax: Literal["liquid"] | None = None
    urlLifetimeInSeconds: Annotated[float, Field(ge=0, le=2592000)] | None = None
    includeEmailInRedirect: bool | None = None
    enabled: bool | None = None


class NewTemplate(TemplateChanges):
    template: TemplateName
    body: Annotated[str, Field(max_length=200_000)]
    from_: str = Field(alias="from", max_length=1000)
    subject: Annotated[str, Field(max_length=1000)]
    syntax: Literal["liquid"]
    enabled: bool


def _template(conn: Connection, name: str) -> dict[str, Any]:
    """Raises Missing, also for a template that is still the default."""
    if name not in NAMES:
        text = (
            f"Path validation error: 'No enum match, expected {', '.join(NAMES)}' on property templateName."
        )
        raise NotPossible(text, reason="invalid_uri")
    found = documents.find_document(conn, f"email-templates/{name}")
    if found is None:
        raise Missing(NO_TEMPLATE, reason="inexistent_email_template")
    content: dict[str, Any] = found.content
    return content


def _put_template(call: Call, conn: Connection, content: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in content.items() if value is not None}
    accounts.put_document(conn, call.ctx, f"email-templates/{content['template']}", kept)
    return kept


@operation("POST", "/email-templates", scopes="create:email_templates", body=NewTemplate)
def create_template(call: Call) -> object:
    """Write a template that was the default until now"""
    name = call.body.template
    with call.ctx.db.write() as conn:
        if documents.find_document(conn, f"email-templates/{name}") is not None:
            raise Conflict("The template exists already.", reason="email_template_conflict")
        return _put_template(call, conn, call.body.model_dump(by_alias=True, exclude_unset=True))


@operation("GET", "/email-templates/{templateName}", scopes="read:email_templates")
def show_template(call: Call) -> object:
    """A template that was written; 404 for one that is still the default"""
    with call.ctx.db.read() as conn:
        return _template(conn, call.path["templateName"])


@operation("PUT", "/email-templates/{templateName}", scopes="update:email_templates", body=NewTemplate)
def replace_template(call: Call) -> object:
    """Write a template as a whole"""
    with call.ctx.db.write() as conn:
        old = _template(conn, call.path["templateName"])
        new = call.body.model_dump(by_alias=True, exclude_unset=True)
        return _put_template(call, conn, new | {"template": old["template"]})


@operation("PATCH", "/email-templates/{templateName}", scopes="update:email_templates", body=TemplateChanges)
def update_template(call: Call) -> object:
    """Change a template"""
    with call.ctx.db.write() as conn:
        lock_tenant(conn)
        old = _template(conn, call.path["templateName"])
        new = call.body.model_dump(by_alias=True, exclude_unset=True)
        return _put_template(call, conn, old | new | {"template": old["template"]})


OPERATIONS = (
    show_provider,
    create_provider,
    update_provider,
    delete_provider,
    create_template,
    show_template,
    replace_template,
    update_template,
)
