"""What accounts need of the system of record, beside what `services.campaigns.ports` says."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from traitbase.domain.accounts import Account, Role
from traitbase.domain.spaces import Space
from traitbase.services.campaigns.ports import CampaignStore


class RoleRow(NamedTuple):
    """What somebody may do in a workspace."""

    workspace_id: str
    account_id: str
    role: Role
    created_at_us: int


class LinkKind(StrEnum):
    """What a one-time link is for: the first account of all, another one (or another role), a new password."""

    FIRST = "first"
    INVITATION = "invitation"
    PASSWORD = "password"  # noqa: S105  # a kind of link


class LinkRow(NamedTuple):
    """A one-time link, by the digest of its token. `email` None: whoever has it says who they are."""

    digest: str
    kind: LinkKind
    email: str | None
    workspace_id: str | None
    role: Role | None
    made_by: str | None
    created_at_us: int
    expires_at_us: int


class SignInRow(NamedTuple):
    """A session of somebody who has signed in, by the digest of its token. `agent`: what their browser calls itself."""

    digest: str
    account_id: str
    created_at_us: int
    used_at_us: int
    expires_at_us: int
    agent: str


class AuditRow(NamedTuple):
    """Something that somebody did. `account_id` None: on the command line.

    `target` is an id or a name of what it was done to, never a value or a person's own id: what is about a person is
    found by `request_id`, as long as that is known.
    """

    workspace_id: str
    entry_id: str
    at_us: int
    account_id: str | None
    environment: str | None
    action: str
    target: str | None
    request_id: str | None


class JobState(StrEnum):
    """How far a long piece of work is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class JobRow(NamedTuple):
    """A long piece of work that the console began. `document`: what it is and what became of it, one JSON object."""

    job_id: str
    account_id: str
    state: JobState
    done: int
    total: int
    document: str
    created_at_us: int
    updated_at_us: int


class AccountStore(CampaignStore, Protocol):
    """The system of record with the console's people. See `services.ports.Store` for what any method may raise."""

    def has_accounts(self) -> bool:
        """Tell whether there is any account."""

    def add_account(self, account: Account) -> None:
        """Store a new account. Raises Conflict (`account_exists`) if its email address is taken."""

    def find_account(self, account_id: str) -> Account | None:
        """Return an account, or None."""

    def find_account_by_email(self, email: str) -> Account | None:
        """Return the account of an email address, or None."""

    def list_accounts(self, account_ids: Sequence[str]) -> list[Account]:
        """Return those of the accounts that exist, in any order."""

    def set_password(self, account_id: str, password: str) -> None:
        """Replace the hash of somebody's password."""

    def roles_of(self, account_id: str) -> list[RoleRow]:
        """Return somebody's roles, in order of workspace id."""

    def roles_in(self, workspace_id: str) -> list[RoleRow]:
        """Return everybody's role in a workspace, in order of when they came."""

    def put_role(self, row: RoleRow) -> None:
        """Give somebody a role in a workspace, in the place of another one."""

    def take_role(self, workspace_id: str, account_id: str) -> bool:
        """Take somebody's role in a workspace away. False if there was none."""

    def add_link(self, row: LinkRow) -> None:
        """Store a one-time link."""

    def find_link(self, digest: str, *, now_us: int) -> LinkRow | None:
        """Return a link that has not expired, or None."""

    def list_links(self, workspace_id: str, *, now_us: int) -> list[LinkRow]:
        """Return a workspace's links that have not expired, the newest first."""

    def use_link(self, digest: str, *, now_us: int) -> bool:
        """Delete a link. False if it has expired, or somebody else was faster."""

    def drop_links(self, kind: LinkKind) -> None:
        """Delete all links of a kind."""

    def add_sign_in(self, row: SignInRow) -> None:
        """Store a session."""

    def find_sign_in(self, digest: str) -> SignInRow | None:
        """Return a session, or None."""

    def list_sign_ins(self, account_id: str, *, now_us: int) -> list[SignInRow]:
        """Return somebody's sessions that have not expired, the newest first."""

    def note_sign_in(self, digest: str, *, used_at_us: int, expires_at_us: int) -> None:
        """Record that a session was used, and when it ends."""

    def end_sign_ins(self, account_id: str, *, digests: Sequence[str] | None, but: str | None = None) -> int:
        """End somebody's sessions with these digests (None: all), except one. Returns how many."""

    def forget_expired_access(self, *, now_us: int) -> None:
        """Delete sessions and links that have expired, and counts of attempts that nobody asks for any more."""

    def count_attempts(self, attempt_id: str, of: Sequence[str], *, now_us: int, since_us: int) -> list[int]:
        """Count an attempt under each of these, and return how many there were of each since a time, this included."""

    def clear_attempts(self, attempt_id: str, of: str) -> None:
        """Forget an attempt, and all that were counted under that."""

    def add_audit(self, row: AuditRow) -> None:
        """Store what was done."""

    def list_audit(self, workspace_id: str, *, before: str | None, limit: int) -> list[AuditRow]:
        """Return up to `limit` entries of a workspace, the newest first, from before an entry's id."""

    def put_job(self, space: Space, row: JobRow) -> None:
        """Store a job, in the place of what there is."""

    def find_job(self, space: Space, job_id: str) -> JobRow | None:
        """Return a job, or None."""

    def list_jobs(self, space: Space, *, limit: int) -> list[JobRow]:
        """Return the newest jobs, the newest first."""

    def forget_jobs(self, *, updated_before_us: int) -> None:
        """Delete jobs that were last touched earlier."""

    def change_workspace(self, workspace_id: str, *, name: str) -> bool:
        """Give a workspace another name. False if there is none."""
