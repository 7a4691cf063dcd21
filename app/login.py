"""The login, as a story: a password is judged, a second factor is owed or proven, tokens are issued.

`authenticate` is the password step, `resume` the step with a second factor; both end in `finish`, which asks the
policy anew each time. Signatures are made before the last transaction, and in that transaction everything that is
used up is used up or nothing is.
"""

from dataclasses import replace
from typing import NoReturn

from app import accounts, audit, lenience, mfa, ruling, veil
from app.accounts import proving, reminding
from app.asking import Asking, Person, asking_again, is_opened_by_pass, name_in, permitted, standing_of
from app.context import Context
from app.directories import DIRECTORIES
from app.errors import (
    AccessDenied,
    InvalidGrant,
    MfaRequired,
    PasswordLeaked,
    Refusal,
    TemporarilyUnavailable,
)
from app.explaining import note, waiver
from app.factors.factor import Answer
from app.guards import breached_password, password_attempt, second_factor
from app.guards.password_attempt import Attempt
from app.guards.protection import get_protection
from app.passwords import FORM
from app.policy import Allow, Challenge, Deny, Enroll, decide, grace_of, may_enroll
from app.settling import Opened, Redeemed, denial, last_transaction, refuse, take_back
from app.store import authenticators, signing_keys, transactions, users
from app.store.clients import Client
from app.store.rules import RuleSet
from app.store.signing_keys import Signer
from app.tokens import issue, mfa_token
from app.tokens.issue import Grantee, TokenSet
from app.tokens.methods import PASSWORD
from app.tokens.mfa_token import MALFORMED

WRONG_PASSWORD = "Wrong email or password."  # noqa: S105 - the text that SDKs compare with


def authenticate(ctx: Context, asking: Asking, username: str, password: str) -> TokenSet:
    """The password step. Raises the refusals of its story, `MfaRequired` among them."""
    directory = DIRECTORIES[asking.realm.kind]
    ctx.facts.user_name = username[:255]
    with ctx.db.read() as conn:
        user = directory.look_up(conn, asking.realm, username)
        protection = ctx.look_up(conn, get_protection)
    if user is not None:
        ctx.facts.user_id = user.id

    attempt = password_attempt.attempt_of(ctx, protection, asking.client, asking.realm, user, username)
    with directory.place(ctx, asking.realm, user):
        password_attempt.before(ctx, attempt)
        try:
            found = directory.authenticate(ctx, asking.realm, user, username, password)
        except TemporarilyUnavailable as refusal:
            take_back(ctx, attempt, refusal)
    try:
        if found.denies_account:
            refuse(ctx, denial(found.reason), right=attempt)
        if found.is_right and found.identity is not None:
            try:
                found = replace(found, user=accounts.arrive(ctx, asking.realm, found))
            except AccessDenied as refusal:
                refuse(ctx, refusal, right=attempt)
        if found.user is None or not found.is_right:
            event = "fu" if found.reason == "unknown_user" else "fp"
            wrong = InvalidGrant(WRONG_PASSWORD, reason=found.reason, event=event)
            if veil.is_blind(asking):
                veil.refuse_password(ctx, asking, user, username, attempt, wrong)
            refuse(ctx, wrong, wrong=attempt)
        if breached_password.found_at_login(ctx, protection.breaches, found.user, password):
            refuse(ctx, PasswordLeaked(reason="password_leaked", event="pwd_leak"), right=attempt)
        with ctx.db.read() as conn:
            owned = tuple(authenticators.list_authenticators(conn, found.user.id))
            signers = ctx.look_up(conn, signing_keys.list_signers)
            rules = ruling.in_force(ctx, conn)
            asking = permitted(conn, asking, found.user)
        person = Person(found.user, owned, ((PASSWORD, int(ctx.now.timestamp())),))
        return finish(ctx, asking, person, signers, rules, attempt=attempt, new_hash=found.new_password_hash)
    except TemporarilyUnavailable as refusal:
        take_back(ctx, attempt, refusal)


def resume(ctx: Context, client: Client, token: str, given: mfa.Given) -> TokenSet:
    """The second step: the answer of one factor completes the login that the MFA token stands for."""
    ctx.facts.factor = given.kind or None
    with ctx.db.read() as conn:
        transaction = mfa_token.open_for_client(ctx, conn, token, client)
        user = veil.holder_of(ctx, conn, transaction)
        asking = asking_again(ctx, conn, client, transaction)
        if user is None or asking is None:
            raise InvalidGrant(MALFORMED, reason="user_gone")
        ctx.facts.user_id, ctx.facts.realm = transaction.user_id or None, asking.realm.name
        factor, challenge = mfa.answered(ctx, conn, transaction, given)
        ctx.facts.factor = factor.kind
        owned = tuple(authenticators.list_authenticators(conn, user.id))
        signers = ctx.look_up(conn, signing_keys.list_signers)
        rules = ruling.in_force(ctx, conn)
        asking = permitted(conn, asking, user)

    if transaction.veil is not None:
        guess = veil.guess_of(ctx, transaction, user, owned, factor)
    else:
        candidates = mfa.candidates(transaction, user, owned, factor, challenge)
        guess = second_factor.before(
            ctx,
            user.id,
            candidates,
            event=factor.limit_event,
            is_counted=factor.is_guessable,
            are_kept=factor.is_kept,
        )
    proof = proving.prove(ctx, factor, guess, Answer(given.members, challenge, client))
    if guess.refused or isinstance(proof, str):
        proof = guess.refused or str(proof)
        refuse(ctx, InvalidGrant(factor.wrong_answer, reason=proof), guess=guess)

    now_seconds = int(ctx.now.timestamp())
    ctx.facts.factor = proof.authenticator.kind
    proven = tuple((name, now_seconds) for name in (proof.authenticator.kind, *proof.traits))
    person = Person(user, owned, (*transaction.methods, *proven))
    redeemed = Redeemed(transaction, proof, guess)
    return finish(ctx, asking, person, signers, rules, redeemed=redeemed)


def finish(
    ctx: Context,
    asking: Asking,
    person: Person,
    signers: dict[str, Signer],
    rules: RuleSet,
    *,
    attempt: Attempt | None = None,
    new_hash: str | None = None,
    redeemed: Redeemed | None = None,
    opened: Opened | None = None,
) -> TokenSet:
    """Hear the rules, ask the policy, then demand, refuse, or issue."""
    proving = redeemed.proof.authenticator if redeemed is not None else None
    if redeemed is not None and proving is not None and proving.confirmed_at is None:
        _check_enrollment(ctx, asking, person, redeemed)
    standing = standing_of(ctx, asking, person, proving=proving)
    try:
        ruled = ruling.ask(ctx, rules, asking, person, standing, ruling.protocol_of(person.methods))
    except Refusal as refusal:
        refuse(ctx, refusal, right=attempt, guess=redeemed.guess if redeemed else None)
    standing = replace(standing, wish=ruled.wish)
    asking = replace(asking, demanded=ruled.wish.kinds if ruled.wish else ())
    decision = decide(standing)
    note(ctx, asking, person, standing, decision)
    match decision:
        case Deny(reason):
            guess = redeemed.guess if redeemed is not None else None
            refuse(ctx, denial(reason), right=attempt, guess=guess)
        case Challenge() | Enroll():
            demand_factor(
                ctx,
                asking,
                person,
                decision,
                attempt=attempt,
                new_hash=new_hash,
                redeemed=redeemed,
                opened=opened,
            )
        case Allow():
            pass

    grantee = Grantee(
        person.user,
        asking.client,
        asking.audience,
        asking.scope,
        asking.requested_scope,
        person.methods,
        asking.gty,
        asking.permissions,
        ruled.access_scope,
        ruled.access_claims,
        ruled.id_claims,
    )
    minted = issue.mint(ctx, signers, grantee)
    if redeemed is not None:
        minted = issue.with_recovery_code(minted, redeemed.proof.new_recovery_code)
        lost: Refusal = InvalidGrant(MALFORMED, reason="changed_meanwhile")
    else:
        lost = _lost_first_step(opened)
    try:
        with last_transaction(ctx, person, lost, attempt=attempt, redeemed=redeemed, opened=opened) as conn:
            lenience.count(conn, ctx, asking, person, decision)
            reminding.remind(conn, ctx, person.user, asking.policy.terms, decision, grace_of(standing))
            ruling.save(conn, ctx, person.user.id, ruled)
            issue.save(conn, minted)
            audit.record(conn, ctx, ctx.facts.success_event, waiver(decision))
            was_veiled = redeemed is not None and redeemed.transaction.veil is not None
            password_attempt.succeeded(conn, ctx, asking.realm, person.user, attempt, was_veiled=was_veiled)
    except lenience.Recount as found:
        again = replace(person, user=found.user)
        return finish(
            ctx,
            asking,
            again,
            signers,
            rules,
            attempt=attempt,
            new_hash=new_hash,
            redeemed=redeemed,
            opened=opened,
        )
    if new_hash is not None and person.user.password_hash is not None:
        with ctx.db.write() as conn:
            users.replace_hash(conn, person.user.id, person.user.password_hash, new_hash, FORM)
    return minted.token_set


def _lost_first_step(opened: Opened | None) -> Refusal:
    if opened is not None:
        return InvalidGrant(opened.wrong_answer, reason="changed_meanwhile")
    return InvalidGrant(WRONG_PASSWORD, reason="changed_meanwhile", event="fp")


def _check_enrollment(ctx: Context, asking: Asking, person: Person, redeemed: Redeemed) -> None:
    """A first proof activates its authenticator, unless the policy has closed meanwhile. Raises AccessDenied."""
    device = redeemed.proof.authenticator
    standing = standing_of(ctx, asking, person)
    opening = may_enroll(replace(standing, has_access_pass=is_opened_by_pass(asking)))
    if isinstance(opening, Deny):
        refuse(ctx, denial(opening.reason), guess=redeemed.guess)
    if name_in(standing.policy, device) not in opening:
        refuse(ctx, denial("factor_not_allowed"), guess=redeemed.guess)


def demand_factor(
    ctx: Context,
    asking: Asking,
    person: Person,
    owed: Challenge | Enroll,
    *,
    attempt: Attempt | None = None,
    new_hash: str | None = None,
    redeemed: Redeemed | None = None,
    opened: Opened | None = None,
) -> NoReturn:
    """Begin an MFA transaction and answer `mfa_required`; a proof that was not enough is used up and remembered by it.

    Raises MfaRequired.
    """
    is_veiled = attempt is not None and veil.covers(asking, owed)
    transaction, token = mfa_token.new_transaction(
        ctx,
        user=person.user,
        client=asking.client,
        audience=asking.audience,
        scope=asking.scope,
        requested_scope=asking.requested_scope,
        gty=asking.gty,
        methods=person.methods,
        demanded=asking.demanded,
        veil=veil.pool_of(ctx, asking.realm, person.user, "") if is_veiled else None,
    )
    reason, requirements = mfa.requirements(ctx, asking.policy, person, owed)
    extras: dict[str, object] = {"mfa_token": token}
    if is_veiled:
        ctx.facts.details["login"] = transaction.id
    elif requirements:
        extras["mfa_requirements"] = requirements
    if redeemed is not None and redeemed.proof.new_recovery_code:
        extras["recovery_code"] = (
            redeemed.proof.new_recovery_code
        )  # the old one is gone, and this is told once
    refusal = MfaRequired(reason=reason, event="mfar", extras=extras)
    lost = _lost_first_step(opened)
    with last_transaction(
        ctx, person, lost, completes=False, attempt=attempt, redeemed=redeemed, opened=opened
    ) as conn:
        transactions.add_transaction(conn, transaction)
        if new_hash and person.user.password_hash:  # now: the second step has no password to hash
            users.replace_hash(conn, person.user.id, person.user.password_hash, new_hash, FORM)
        audit.record(conn, ctx, "mfar", refusal.reason)
        if attempt is not None and is_veiled:  # else how often it can be tried would tell that it was right
            password_attempt.failed(conn, ctx, attempt)
        elif attempt is not None:
            password_attempt.undecided(conn, attempt)
    refusal.recorded = True
    raise refusal
