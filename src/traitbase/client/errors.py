"""What can go wrong for a caller: one small family, each telling whether and how to go on."""

from __future__ import annotations

from traitbase.client.items import Item, Portion
from traitbase.domain.errors import Fault


class ClientError(Exception):
    """Anything that the client raises by itself. `message` is the server's own `_message` where there is one."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        """The HTTP status of the answer, None if no answer came (or nothing was sent)."""


class InvalidValue(ClientError, ValueError):
    """Refused before anything was sent: `path` names the place (`$set.signed_up`), the message what to do."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


class InvalidRequest(ClientError):
    """The server refused the request as it is (400, 413, …) and applied nothing; sending it again will not help.

    `faults` say where and why: `Fault(path="batch[3].action.$set.address", message="…")`.
    """

    def __init__(self, message: str, *, status: int | None = None, faults: tuple[Fault, ...] = ()) -> None:
        super().__init__(message, status=status)
        self.faults = faults


class NotAuthorised(ClientError):
    """The key is missing, wrong, expired, of another workspace or environment (401), or may not do this (403)."""


class NotFound(ClientError):
    """What was asked for does not exist: a profile, a receipt, a path."""


class Conflict(ClientError):
    """It contradicts what is there: a distinct_id that is taken, an idempotency key used for something else."""


class Unavailable(ClientError):
    """No good answer came, and the client gave up retrying after `attempts` tries.

    Whether one of them was applied is not known. To be able to send it again safely, use `Client.with_key` or a batch.
    """

    def __init__(self, message: str, *, attempts: int, status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.attempts = attempts


class UnexpectedAnswer(ClientError):
    """Something answered that does not speak this API, such as a proxy's login page. Check `base_url`."""


class BatchNotSent(ClientError):
    """Updates of a batch that are not known to be applied. `__cause__` says why; nothing of them is lost.

    `Client.resend(error)` sends them again, in order and under the same idempotency keys, so that what did arrive
    counts once.
    """

    def __init__(self, message: str, *, portions: tuple[Portion, ...], status: int | None = None) -> None:
        super().__init__(message, status=status)
        self.portions = portions

    @property
    def unsent(self) -> tuple[Item, ...]:
        """Every update that is not known to be applied, in the order in which they were given."""
        return tuple(item for portion in self.portions for item in portion.items)
