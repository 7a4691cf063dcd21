"""Who is let in without a second factor is counted: a login of a grace, an emergency account's, an exemption.

What a policy lends so often is spent in the transaction that issues the tokens, so that of logins at once each sees
the one before.
"""

from dataclasses import replace

from sqlalchemy import Connection

from app import audit
from app.asking import Asking, Person
from app.channels import alerts
from app.context import Context
from app.explaining import waiver
from app.policy import EXEMPTED, Allow, after
from app.policy_terms import Counted
from app.store import users
from app.store.users import User


class Recount(Exception):
    """Another login was counted meanwhile: what the policy says now is to be asked anew."""

    def __init__(self, user: User) -> None:
        self.user = user


def count(conn: Connection, ctx: Context, asking: Asking, person: Person, decision: Allow) -> None:
    """Spend what lets them in, and tell those who asked to hear of it; their row is locked. Raises Recount."""
    if waiver(decision) in EXEMPTED:
        alerts.tell(conn, ctx, asking.realm.id, "exemption_used", person.user.id)
    if decision.spends is None:
        return
    now_there = users.find_mfa_counts(conn, person.user.id) or Counted()
    if now_there.of_logins != (person.user.mfa_counts or Counted()).of_logins:
        raise Recount(replace(person.user, mfa_counts=now_there))
    counted = after(now_there, decision.spends, ctx.now)
    users.update_user(conn, person.user.id, mfa_counts=counted)
    if decision.spends == "break_glass":
        if asking.policy.terms.break_glass.alert:
            audit.record(conn, ctx, "mfa_policy_break_glass", "alert")
        alerts.tell(conn, ctx, asking.realm.id, "break_glass", person.user.id)
