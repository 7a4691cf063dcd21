"""What messages say: texts of our own in some languages, or the templates that an administrator wrote.

Templates are Liquid, as Auth0's are: `{{code}}`, `{{tenant.friendly_name}}`, `{{user.email}}`.
"""

import importlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from app import documents
from app.context import Context

log = logging.getLogger("belay.wording")

PHONE_TEMPLATES = "guardian/factors/phone/templates"
EMAIL_TEMPLATE = "email-templates/mfa_oob_code"
MOST_CHARACTERS = 1600  # ten text messages; more is a mistake in a template

# By language: a code for a login, a code that confirms a new device, the subject of a mail, and what follows in it.
TEXTS = {
    "en": (
        "{code} is your code to log in at {tenant}.",
        "{code} is your code to add this device at {tenant}.",
        "Your code for {tenant}",
        "It is valid for 5 minutes. Never give it to anybody who calls or writes to you.",
    ),
    "de": (
        "{code} ist Ihr Code zur Anmeldung bei {tenant}.",
        "{code} ist Ihr Code, um dieses Gerät bei {tenant} hinzuzufügen.",
        "Ihr Code für {tenant}",
        "Er gilt 5 Minuten. Geben Sie ihn niemandem, der Sie anruft oder Ihnen schreibt.",
    ),
    "es": (
        "{code} es su código para iniciar sesión en {tenant}.",
        "{code} es su código para añadir este dispositivo en {tenant}.",
        "Su código para {tenant}",
        "Es válido durante 5 minutos. No se lo dé a nadie que le llame o le escriba.",
    ),
    "fr": (
        "{code} est votre code de connexion à {tenant}.",
        "{code} est votre code pour ajouter cet appareil à {tenant}.",
        "Votre code pour {tenant}",
        "Il est valable 5 minutes. Ne le donnez à personne qui vous appelle ou vous écrit.",
    ),
    "it": (
        "{code} è il suo codice per accedere a {tenant}.",
        "{code} è il suo codice per aggiungere questo dispositivo a {tenant}.",
        "Il suo codice per {tenant}",
        "È valido per 5 minuti. Non lo comunichi a chi le telefona o le scrive.",
    ),
    "nl": (
        "{code} is uw code om in te loggen bij {tenant}.",
        "{code} is uw code om dit apparaat toe te voegen bij {tenant}.",
        "Uw code voor {tenant}",
        "De code is 5 minuten geldig. Geef hem aan niemand die u belt of schrijft.",
    ),
    "pt": (
        "{code} é o seu código para entrar em {tenant}.",
        "{code} é o seu código para adicionar este dispositivo em {tenant}.",
        "O seu código para {tenant}",
        "É válido por 5 minutos. Não o dê a ninguém que lhe telefone ou escreva.",
    ),
}
LANGUAGES = tuple(TEXTS)
PUSH_TEXTS = {
    "en": "Do you log in at {tenant}?",
    "de": "Melden Sie sich gerade bei {tenant} an?",
    "es": "¿Está iniciando sesión en {tenant}?",
    "fr": "Êtes-vous en train de vous connecter à {tenant} ?",
    "it": "Sta accedendo a {tenant}?",
    "nl": "Logt u in bij {tenant}?",
    "pt": "Está a entrar em {tenant}?",
}


@dataclass(frozen=True)
class Wording:
    text: str
    subject: str = ""
    html: str | None = None
    sender: str | None = None


def of_code(
    ctx: Context, conn: Connection, channel: str, code: str, *, enrolls: bool, values: Mapping[str, Any]
) -> Wording:
    """The message that carries a code. `values` are what templates may name: `tenant`, `user`, `application`."""
    tenant = str(values["tenant"]["friendly_name"])
    login, device, subject, advice = TEXTS.get(ctx.language, TEXTS["en"])
    text = (device if enrolls else login).format(code=code, tenant=tenant)
    given = {**values, "code": code, "friendly_name": tenant, "request_language": ctx.language}
    if channel == "email":
        written = documents.find(ctx, conn, EMAIL_TEMPLATE)
        if written is not None and written.content.get("enabled", True):
            template = written.content
            html = rendered(template.get("body", ""), given, escapes=True)
            own_subject = rendered(template.get("subject", ""), given)
            if html is not None and code in html:
                return Wording(f"{text} {advice}", own_subject or subject, html, template.get("from"))
        return Wording(f"{text}\n\n{advice}", subject.format(tenant=tenant))
    if channel == "voice":
        code = ", ".join(code)  # digit by digit
        given["code"] = code
        text = (device if enrolls else login).format(code=code, tenant=tenant)
    written = documents.find(ctx, conn, PHONE_TEMPLATES)
    if written is not None:
        name = "enrollment_message" if enrolls else "verification_message"
        own = rendered(written.content.get(name, ""), given)
        if own is not None and code in own:
            return Wording(own)
    return Wording(text)


def rendered(template: str, values: Mapping[str, Any], *, escapes: bool = False) -> str | None:
    """None for a template that cannot be rendered: the person gets our own text, and not nothing."""
    liquid = importlib.import_module(
        "liquid"
    )  # a quarter of a second that a server without templates need not spend
    try:
        environment = liquid.Environment(autoescape=escapes)
        text: str = environment.from_string(template).render(**values)
    except (liquid.exceptions.LiquidError, RecursionError) as error:
        log.error("a message template cannot be rendered: %s", type(error).__name__)
        return None
    return text if escapes else text[:MOST_CHARACTERS]


def problem_of(template: str) -> str | None:
    """Why a text is no template, in the library's words; None for a good one."""
    liquid = importlib.import_module("liquid")
    try:
        liquid.Environment().from_string(template)
    except (liquid.exceptions.LiquidError, RecursionError) as error:
        return str(error)[:200]
    return None


def of_push(language: str, tenant: str, application: str) -> str:
    """The question that a phone shows before its app is opened."""
    place = f"{tenant} ({application})" if application else tenant
    return PUSH_TEXTS.get(language, PUSH_TEXTS["en"]).format(tenant=place)
