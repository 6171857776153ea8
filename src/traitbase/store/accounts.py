"""The console's people in a relational database: accounts, roles, links, sessions, the audit log, and long work."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from traitbase.domain.accounts import Account, Role
from traitbase.domain.errors import Conflict
from traitbase.domain.spaces import Space
from traitbase.services.accounts.ports import AuditRow, JobRow, JobState, LinkKind, LinkRow, RoleRow, SignInRow
from traitbase.store.database import Database, within
from traitbase.store.tables import (
    account_roles,
    accounts,
    audit_entries,
    console_jobs,
    one_time_links,
    sign_in_attempts,
    sign_ins,
    workspaces,
)

_ACCOUNT_COLUMNS = [accounts.c[name] for name in ("account_id", "email", "name", "password", "created_at_us")]
_ROLE_COLUMNS = [account_roles.c[name] for name in RoleRow._fields]
_LINK_COLUMNS = [one_time_links.c[name] for name in LinkRow._fields]
_SIGN_IN_COLUMNS = [sign_ins.c[name] for name in SignInRow._fields]
_AUDIT_COLUMNS = [audit_entries.c[name] for name in AuditRow._fields]
_JOB_COLUMNS = [console_jobs.c[name] for name in JobRow._fields]
_ATTEMPTS_KEPT_US = 3_600_000_000


class AccountQueries:
    """The part of the store port that deals with who uses the console."""

    _database: Database

    def has_accounts(self) -> bool:
        """Tell whether there is any account."""
        return self._first(sa.select(accounts.c.account_id).limit(1)) is not None

    def add_account(self, account: Account) -> None:
        """Store a new account. Raises Conflict if its email address is taken."""
        row = {column.name: getattr(account, column.name) for column in _ACCOUNT_COLUMNS}
        insert = self._database.insert(accounts).values(row).on_conflict_do_nothing()
        with self._database.writing() as connection:
            if connection.execute(insert.returning(accounts.c.account_id)).one_or_none() is None:
                message = f"email: {account.email} has an account already: sign in with that"
                raise Conflict(message, code="account_exists")

    def find_account(self, account_id: str) -> Account | None:
        """Return an account, or None."""
        return self._account(accounts.c.account_id == account_id)

    def find_account_by_email(self, email: str) -> Account | None:
        """Return the account of an email address, or None."""
        return self._account(accounts.c.email == email)

    def list_accounts(self, account_ids: Sequence[str]) -> list[Account]:
        """Return those of the accounts that exist, in any order."""
        query = sa.select(*_ACCOUNT_COLUMNS).where(accounts.c.account_id.in_(account_ids))
        return [Account(*row) for row in self._all(query)]

    def set_password(self, account_id: str, password: str) -> None:
        """Replace the hash of somebody's password."""
        self._write(sa.update(accounts).where(accounts.c.account_id == account_id).values(password=password))

    def roles_of(self, account_id: str) -> list[RoleRow]:
        """Return somebody's roles, in order of workspace id."""
        query = sa.select(*_ROLE_COLUMNS).where(account_roles.c.account_id == account_id)
        return [_role(row) for row in self._all(query.order_by(account_roles.c.workspace_id))]

    def roles_in(self, workspace_id: str) -> list[RoleRow]:
        """Return everybody's role in a workspace, in order of when they came."""
        query = sa.select(*_ROLE_COLUMNS).where(account_roles.c.workspace_id == workspace_id)
        order = (account_roles.c.created_at_us, account_roles.c.account_id)
        return [_role(row) for row in self._all(query.order_by(*order))]

    def put_role(self, row: RoleRow) -> None:
        """Give somebody a role in a workspace, in the place of another one."""
        values = {**row._asdict(), "role": row.role.value}
        insert = self._database.insert(account_roles).values(values)
        key = [account_roles.c.workspace_id, account_roles.c.account_id]
        self._write(insert.on_conflict_do_update(index_elements=key, set_={"role": row.role.value}))

    def take_role(self, workspace_id: str, account_id: str) -> bool:
        """Take somebody's role in a workspace away. False if there was none."""
        which = (account_roles.c.workspace_id == workspace_id, account_roles.c.account_id == account_id)
        return self._write(sa.delete(account_roles).where(*which)) == 1

    def add_link(self, row: LinkRow) -> None:
        """Store a one-time link."""
        values = {**row._asdict(), "kind": row.kind.value, "role": None if row.role is None else row.role.value}
        self._write(sa.insert(one_time_links).values(values))

    def find_link(self, digest: str, *, now_us: int) -> LinkRow | None:
        """Return a link that has not expired, or None."""
        which = (one_time_links.c.digest == digest, one_time_links.c.expires_at_us > now_us)
        row = self._first(sa.select(*_LINK_COLUMNS).where(*which))
        return None if row is None else _link(row)

    def list_links(self, workspace_id: str, *, now_us: int) -> list[LinkRow]:
        """Return a workspace's links that have not expired, the newest first."""
        which = (one_time_links.c.workspace_id == workspace_id, one_time_links.c.expires_at_us > now_us)
        query = sa.select(*_LINK_COLUMNS).where(*which).order_by(one_time_links.c.created_at_us.desc())
        return [_link(row) for row in self._all(query)]

    def use_link(self, digest: str, *, now_us: int) -> bool:
        """Delete a link. False if it has expired, or somebody else was faster."""
        which = (one_time_links.c.digest == digest, one_time_links.c.expires_at_us > now_us)
        return self._write(sa.delete(one_time_links).where(*which)) == 1

    def drop_links(self, kind: LinkKind) -> None:
        """Delete all links of a kind."""
        self._write(sa.delete(one_time_links).where(one_time_links.c.kind == kind.value))

    def add_sign_in(self, row: SignInRow) -> None:
        """Store a session."""
        self._write(sa.insert(sign_ins).values(row._asdict()))

    def find_sign_in(self, digest: str) -> SignInRow | None:
        """Return a session, or None."""
        row = self._first(sa.select(*_SIGN_IN_COLUMNS).where(sign_ins.c.digest == digest))
        return None if row is None else SignInRow._make(row)

    def list_sign_ins(self, account_id: str, *, now_us: int) -> list[SignInRow]:
        """Return somebody's sessions that have not expired, the newest first."""
        which = (sign_ins.c.account_id == account_id, sign_ins.c.expires_at_us > now_us)
        query = sa.select(*_SIGN_IN_COLUMNS).where(*which).order_by(sign_ins.c.created_at_us.desc())
        return [SignInRow._make(row) for row in self._all(query)]

    def note_sign_in(self, digest: str, *, used_at_us: int, expires_at_us: int) -> None:
        """Record that a session was used, and when it ends."""
        changed = {"used_at_us": used_at_us, "expires_at_us": expires_at_us}
        self._write(sa.update(sign_ins).where(sign_ins.c.digest == digest).values(changed))

    def end_sign_ins(self, account_id: str, *, digests: Sequence[str] | None, but: str | None = None) -> int:
        """End somebody's sessions with these digests (None: all), except one. Returns how many."""
        which = [sign_ins.c.account_id == account_id]
        if digests is not None:
            which.append(sign_ins.c.digest.in_(digests))
        if but is not None:
            which.append(sign_ins.c.digest != but)
        return self._write(sa.delete(sign_ins).where(*which))

    def forget_expired_access(self, *, now_us: int) -> None:
        """Delete sessions and links that have expired, and old attempts."""
        self._write(
            sa.delete(sign_ins).where(sign_ins.c.expires_at_us <= now_us),
            sa.delete(one_time_links).where(one_time_links.c.expires_at_us <= now_us),
            sa.delete(sign_in_attempts).where(sign_in_attempts.c.at_us <= now_us - _ATTEMPTS_KEPT_US),
        )

    def count_attempts(self, attempt_id: str, of: Sequence[str], *, now_us: int, since_us: int) -> list[int]:
        """Count an attempt under each of these, and return how many there were of each since a time, this included."""
        rows = [{"of_key": each, "attempt_id": attempt_id, "at_us": now_us} for each in of]
        which = (sign_in_attempts.c.of_key.in_(of), sign_in_attempts.c.at_us > since_us)
        query = sa.select(sign_in_attempts.c.of_key, sa.func.count()).where(*which).group_by(sign_in_attempts.c.of_key)
        # Written first and counted in a transaction of its own: two at once then see each other, and not both too few.
        self._write(sa.insert(sign_in_attempts).values(rows))
        counts = {name: count for name, count in self._all(query)}  # noqa: C416  # rows, which `dict` does not take
        return [counts.get(each, 0) for each in of]

    def clear_attempts(self, attempt_id: str, of: str) -> None:
        """Forget an attempt, and all that were counted under that."""
        which = sa.or_(sign_in_attempts.c.attempt_id == attempt_id, sign_in_attempts.c.of_key == of)
        self._write(sa.delete(sign_in_attempts).where(which))

    def add_audit(self, row: AuditRow) -> None:
        """Store what was done."""
        self._write(sa.insert(audit_entries).values(row._asdict()))

    def list_audit(self, workspace_id: str, *, before: str | None, limit: int) -> list[AuditRow]:
        """Return up to `limit` entries of a workspace, the newest first, from before an entry's id."""
        query = sa.select(*_AUDIT_COLUMNS).where(audit_entries.c.workspace_id == workspace_id)
        if before is not None:
            query = query.where(audit_entries.c.entry_id < before)
        return [AuditRow._make(row) for row in self._all(query.order_by(audit_entries.c.entry_id.desc()).limit(limit))]

    def put_job(self, space: Space, row: JobRow) -> None:
        """Store a job, in the place of what there is."""
        values = {**space._asdict(), **row._asdict(), "state": row.state.value}
        insert = self._database.insert(console_jobs).values(values)
        key = [console_jobs.c[name] for name in (*Space._fields, "job_id")]
        changed = {name: values[name] for name in ("state", "done", "total", "document", "updated_at_us")}
        self._write(insert.on_conflict_do_update(index_elements=key, set_=changed))

    def find_job(self, space: Space, job_id: str) -> JobRow | None:
        """Return a job, or None."""
        which = (within(console_jobs, space), console_jobs.c.job_id == job_id)
        row = self._first(sa.select(*_JOB_COLUMNS).where(*which))
        return None if row is None else _job(row)

    def list_jobs(self, space: Space, *, limit: int) -> list[JobRow]:
        """Return the newest jobs, the newest first."""
        query = sa.select(*_JOB_COLUMNS).where(within(console_jobs, space))
        return [_job(row) for row in self._all(query.order_by(console_jobs.c.job_id.desc()).limit(limit))]

    def forget_jobs(self, *, updated_before_us: int) -> None:
        """Delete jobs that were last touched earlier."""
        self._write(sa.delete(console_jobs).where(console_jobs.c.updated_at_us < updated_before_us))

    def change_workspace(self, workspace_id: str, *, name: str) -> bool:
        """Give a workspace another name. False if there is none."""
        return (
            self._write(sa.update(workspaces).where(workspaces.c.workspace_id == workspace_id).values(name=name)) == 1
        )

    def _account(self, which: sa.ColumnElement[bool]) -> Account | None:
        row = self._first(sa.select(*_ACCOUNT_COLUMNS).where(which))
        return None if row is None else Account(*row)

    def _first(self, query: sa.Select[Any]) -> Any:
        with self._database.reading() as connection:
            return connection.execute(query).first()

    def _all(self, query: sa.Select[Any]) -> list[Any]:
        with self._database.reading() as connection:
            return list(connection.execute(query).all())

    def _write(self, *statements: Any) -> int:
        """Execute in one transaction; return how many rows the first statement changed."""
        with self._database.writing() as connection:
            counts = [connection.execute(each).rowcount for each in statements]
        return int(counts[0])


def _role(row: Any) -> RoleRow:
    found = RoleRow._make(row)
    return found._replace(role=Role(found.role))


def _link(row: Any) -> LinkRow:
    found = LinkRow._make(row)
    return found._replace(kind=LinkKind(found.kind), role=None if found.role is None else Role(found.role))


def _job(row: Any) -> JobRow:
    found = JobRow._make(row)
    return found._replace(state=JobState(found.state))
