"""Accounts and roles: one-time links for newcomers and forgotten passwords, and what each person may do where."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from traitbase.domain.accounts import (
    Account,
    Role,
    check_account_name,
    check_email,
    check_password,
    digest_of_token,
    new_account_id,
    new_token,
)
from traitbase.domain.errors import Conflict, Fault, InvalidInput, NotFound, Refused
from traitbase.domain.spaces import Workspace, check_workspace, new_workspace_id
from traitbase.services.accounts.audit import Audit, Done
from traitbase.services.accounts.passwords import hash_password
from traitbase.services.accounts.ports import AccountStore, LinkKind, LinkRow, RoleRow
from traitbase.services.workspaces import get_workspace

LINK_HOURS = 72
_LINK_US = LINK_HOURS * 3_600_000_000


class Member(NamedTuple):
    """Somebody with a role in a workspace."""

    account: Account
    role: Role
    since_us: int


class Newcomer(NamedTuple):
    """What somebody says of themselves behind a link: what they are called, where they are reached, their password."""

    email: str
    name: str
    password: str
    workspace_name: str = ""
    timezone: str = "UTC"


class People:
    """What is done with accounts, roles and links."""

    def __init__(self, store: AccountStore, audit: Audit, *, now_us: Callable[[], int]) -> None:
        self._store = store
        self._audit = audit
        self._now_us = now_us

    def first_link(self) -> str | None:
        """Return the token of a link for the first account of all; None if there is one. Earlier such links end."""
        if self._store.has_accounts():
            return None
        self._store.drop_links(LinkKind.FIRST)
        return self._new_link(LinkKind.FIRST)

    def invite(self, workspace_id: str, email: str, role: Role, *, by: str | None) -> str:
        """Return the token of a link for somebody who is to have a role. Raises InvalidInput, NotFound, Conflict."""
        get_workspace(self._store, workspace_id)
        address = check_email(email)
        known = self._store.find_account_by_email(address)
        if known is not None and any(
            row.workspace_id == workspace_id for row in self._store.roles_of(known.account_id)
        ):
            message = f"email: {address} has a role here already; change it in the list of members"
            raise Conflict(message, code="account_exists")
        token = self._new_link(LinkKind.INVITATION, email=address, workspace_id=workspace_id, role=role, by=by)
        self._audit.note(workspace_id, by, Done("member.invite", f"{address} as {role}"))
        return token

    def reset(self, workspace_id: str, account_id: str, *, by: str | None) -> str:
        """Return the token of a link behind which a member chooses a new password. Raises NotFound, Refused.

        Refused for somebody who has a role in other workspaces, too: whoever runs one of them must not be let into
        the others.
        """
        account = self.member(workspace_id, account_id).account
        if by is not None and self._is_elsewhere(account, workspace_id):
            message = "this person has a role in other workspaces, too: `traitbase account reset` makes the link"
            raise Refused(message, code="insufficient_scope")
        token = self._new_link(LinkKind.PASSWORD, email=account.email, workspace_id=workspace_id, by=by)
        self._audit.note(workspace_id, by, Done("member.reset", account.email))
        return token

    def reset_by_email(self, email: str) -> str:
        """Return the token of such a link, made on the command line, whatever roles somebody has. Raises NotFound."""
        account = self._store.find_account_by_email(check_email(email))
        if account is None:
            raise NotFound(f"nobody has the email address {email}; `traitbase account list` shows who there is")
        for row in self._store.roles_of(account.account_id):
            self._audit.note(row.workspace_id, None, Done("member.reset", account.email))
        return self._new_link(LinkKind.PASSWORD, email=account.email)

    def add(self, workspace_id: str, newcomer: Newcomer, role: Role) -> Account:
        """Give somebody an account, if they have none, and a role, on the command line.

        Raises InvalidInput naming the field, NotFound for an unknown workspace.
        """
        get_workspace(self._store, workspace_id)
        account = self._store.find_account_by_email(check_email(newcomer.email))
        if account is None:
            account = self._new_account(newcomer)
            self._store.add_account(account)
        self._store.put_role(RoleRow(workspace_id, account.account_id, role, self._now_us()))
        self._audit.note(workspace_id, None, Done("member.add", f"{account.email} as {role}"))
        return account

    def find_link(self, token: str) -> LinkRow | None:
        """Return the link of a token, if it can still be used."""
        return self._store.find_link(digest_of_token(token), now_us=self._now_us())

    def accept(self, token: str, newcomer: Newcomer, *, signed_in: Account | None) -> Account:
        """Do what a link is for, once. Raises Refused for a link that has ended, InvalidInput naming the field.

        Whoever has an account already must have signed in with it (Refused, `sign_in_first`): a link that an admin of
        one workspace made must not open somebody's account, with all that they may do elsewhere.
        """
        link = self.find_link(token)
        if link is None:
            raise _ended()
        match link.kind:
            case LinkKind.PASSWORD:
                return self._choose_password(link, newcomer)
            case LinkKind.INVITATION:
                return self._join(link, newcomer, signed_in)
            case LinkKind.FIRST:
                return self._begin(link, newcomer)

    def members(self, workspace_id: str) -> list[Member]:
        """Return everybody with a role in a workspace, in order of when they came."""
        rows = self._store.roles_in(workspace_id)
        accounts = {each.account_id: each for each in self._store.list_accounts([row.account_id for row in rows])}
        return [
            Member(accounts[row.account_id], row.role, row.created_at_us) for row in rows if row.account_id in accounts
        ]

    def member(self, workspace_id: str, account_id: str) -> Member:
        """Return somebody with a role in a workspace. Raises NotFound."""
        for each in self.members(workspace_id):
            if each.account.account_id == account_id:
                return each
        raise NotFound(f"nobody here has the id {account_id!r}")

    def change_role(self, workspace_id: str, account_id: str, role: Role, *, by: str | None) -> None:
        """Give a member another role. Raises NotFound, Conflict if nobody would be left to run the workspace."""
        member = self.member(workspace_id, account_id)
        if role is not Role.ADMIN:
            self._check_not_last(workspace_id, member)
        self._store.put_role(RoleRow(workspace_id, account_id, role, member.since_us))
        self._audit.note(workspace_id, by, Done("member.role", f"{member.account.email} as {role}"))

    def remove(self, workspace_id: str, account_id: str, *, by: str | None) -> None:
        """Take a member's role away. Raises NotFound, Conflict if nobody would be left to run the workspace."""
        member = self.member(workspace_id, account_id)
        self._check_not_last(workspace_id, member)
        self._store.take_role(workspace_id, account_id)
        self._audit.note(workspace_id, by, Done("member.remove", member.account.email))

    def _check_not_last(self, workspace_id: str, member: Member) -> None:
        admins = [each for each in self.members(workspace_id) if each.role is Role.ADMIN]
        if member.role is Role.ADMIN and len(admins) == 1:
            raise Conflict("this is the workspace's only admin: make somebody else one first", code="last_admin")

    def _choose_password(self, link: LinkRow, newcomer: Newcomer) -> Account:
        account = self._store.find_account_by_email(link.email or "")
        if account is None or (link.made_by is not None and self._is_elsewhere(account, link.workspace_id)):
            raise _ended()
        password = hash_password(check_password(newcomer.password, email=account.email))
        self._use(link)
        self._store.set_password(account.account_id, password)
        self._store.end_sign_ins(account.account_id, digests=None)
        return account

    def _join(self, link: LinkRow, newcomer: Newcomer, signed_in: Account | None) -> Account:
        assert link.workspace_id is not None, "an invitation is to a workspace"
        assert link.role is not None, "an invitation is for a role"
        account = self._store.find_account_by_email(link.email or "")
        if account is None:
            account = self._new_account(newcomer._replace(email=link.email or ""))
            self._use(link)
            self._store.add_account(account)
        elif signed_in is None or signed_in.account_id != account.account_id:
            message = f"{account.email} has an account: sign in with it, then open this link again"
            raise Refused(message, code="sign_in_first")
        else:
            self._use(link)
        self._store.put_role(RoleRow(link.workspace_id, account.account_id, link.role, self._now_us()))
        self._audit.note(link.workspace_id, account.account_id, Done("member.join", f"{account.email} as {link.role}"))
        return account

    def _begin(self, link: LinkRow, newcomer: Newcomer) -> Account:
        if self._store.has_accounts():
            raise _ended()
        account = self._new_account(newcomer)
        spaces = [each.workspace_id for each in self._store.list_workspaces()]
        workspace = None if spaces else self._checked_workspace(newcomer)
        self._use(link)
        if workspace is not None:
            self._store.add_workspace(workspace)
            spaces = [workspace.workspace_id]
        self._store.add_account(account)
        for workspace_id in spaces:
            self._store.put_role(RoleRow(workspace_id, account.account_id, Role.ADMIN, self._now_us()))
            self._audit.note(workspace_id, account.account_id, Done("member.join", f"{account.email} as admin"))
        return account

    def _checked_workspace(self, newcomer: Newcomer) -> Workspace:
        """Return the first workspace. Raises InvalidInput under the names that a newcomer's fields have."""
        name, now_us = newcomer.workspace_name.strip(), self._now_us()
        try:
            return check_workspace(Workspace(new_workspace_id(), name, newcomer.timezone, now_us))
        except InvalidInput as error:
            paths = {"name": "workspace_name"}
            faults = tuple(Fault(paths.get(each.path, each.path), each.message) for each in error.faults)
            raise InvalidInput(error.message, faults=faults) from error

    def _new_account(self, newcomer: Newcomer) -> Account:
        email = check_email(newcomer.email)
        name = check_account_name(newcomer.name)
        password = check_password(newcomer.password, email=email)
        return Account(new_account_id(), email, name, hash_password(password), self._now_us())

    def _use(self, link: LinkRow) -> None:
        if not self._store.use_link(link.digest, now_us=self._now_us()):
            raise _ended()

    def _is_elsewhere(self, account: Account, workspace_id: str | None) -> bool:
        return any(row.workspace_id != workspace_id for row in self._store.roles_of(account.account_id))

    def _new_link(
        self,
        kind: LinkKind,
        *,
        email: str | None = None,
        workspace_id: str | None = None,
        role: Role | None = None,
        by: str | None = None,
    ) -> str:
        token, now_us = new_token(), self._now_us()
        row = LinkRow(digest_of_token(token), kind, email, workspace_id, role, by, now_us, now_us + _LINK_US)
        self._store.add_link(row)
        return token


def _ended() -> Refused:
    return Refused("this link was used, or has expired: ask for another one", code="link_expired")
