"""Everything that can go wrong, as a tree; each class knows the exit code of the command it ends.

```
VlIngestError                    1   unexpected
├── Unforeseen                   1   what observers of a run are told of a mistake
├── UsageError                   2   the caller asked for something that can't be
├── LedgerError                  4   the ledger can't be used
├── FilesHeld                    3   files are left unsent, so processing was not started
├── Differs                      3   `verify` found something that is not as the record says
├── GaveUp                       5   temporary trouble outlasted --give-up-after: run it again
├── Refused                      7   the server, or a certificate, says no
├── DurationReached             10   --max-duration
├── JobHeld                     11   another run works on the job
├── ProcessingFailed            12   the server could not process the dataset
├── Undecided                   13   an outcome is unknown and a person must decide
├── Interrupted         128+signal   a signal asked the run to stop
├── Stopped                    143   `vl-ingest stop` asked the run to stop
├── FileTrouble                      a file can't be sent as it is, or as promised (never ends a command)
└── RequestError                     one request did not end in a receipt (see `api`)
    ├── NotDelivered                 nothing of it reached the server: transient
    │   └── Throttled                429: wait, all together
    ├── OutcomeUnknown               it may have been carried out: transient
    │   ├── Undocumented             a success, but not in the documented form
    │   └── CourierLost              the process that sent it has died
    └── Answered                     the server said no
        ├── BadRequest          400
        ├── CredentialsRefused  401
        ├── TooLarge            413
        ├── Conflict            409
        ├── Denied              403, 404, 422: permanent for the job
        ├── NotAvailable        403, 404, 405, another form: this server has no such (optional) endpoint
        └── Redirected          3xx: permanent too, but what lies behind may have carried it out
```
"""

from typing import TYPE_CHECKING, ClassVar

from vl_ingest.domain.naming import path_to_text

if TYPE_CHECKING:  # every command starts with the errors; few need the model
    from vl_ingest.domain.model import Facts


class VlIngestError(Exception):
    """Base of all errors that the package raises on purpose; its text is meant for the user."""

    exit_code: ClassVar[int] = 1


class Unforeseen(VlIngestError):
    """A mistake of this program, or of a program that uses it, ended a run; what it was is raised as it is."""


class UsageError(VlIngestError):
    """What was asked for is not possible: a wrong option, an unknown job, nothing to send."""

    exit_code = 2


class FilesHeld(VlIngestError):
    """Files could not be sent and nobody has waived them, so processing was not started."""

    exit_code = 3


class Differs(VlIngestError):
    """Something is not as the record says."""

    exit_code = 3


class LedgerError(VlIngestError):
    """The ledger can't be read or written; nothing is sent that could not be recorded."""

    exit_code = 4


class GaveUp(VlIngestError):
    """Temporary trouble lasted too long; the same command goes on later."""

    exit_code = 5


class Refused(VlIngestError):
    """The server refused for good: credentials, permission, certificate, or the remote half is gone."""

    exit_code = 7


class DurationReached(VlIngestError):
    """The run used up its `--max-duration`."""

    exit_code = 10


class JobHeld(VlIngestError):
    """Another run holds the job."""

    exit_code = 11


class ProcessingFailed(VlIngestError):
    """The server reports that processing the dataset failed."""

    exit_code = 12


class Undecided(VlIngestError):
    """An outcome is unknown, and no rule may decide it: a person must."""

    exit_code = 13


class Interrupted(VlIngestError):
    """A signal asked the run to stop; `exit_code` is 128 + the signal's number."""

    def __init__(self, signal_number: int) -> None:
        import signal

        name = signal.Signals(signal_number).name
        super().__init__(f"Stopped by {name}. Run the same command again to continue.")
        self.exit_code = 128 + signal_number  # type: ignore[misc]  # the one class whose code is a fact of the instance


class Stopped(VlIngestError):
    """Somebody asked the run to stop, with `vl-ingest stop`; as if by SIGTERM."""

    exit_code = 143


class FileTrouble(VlIngestError):
    """A file can't be sent as it is, or as promised. `path` is its path in the job, `reason` says why in words.

    `state` is the state it belongs in; in a dry run also `wrong_type`, for what the server will hardly take. `facts`
    are those of the file on disk, where they are known.
    """

    def __init__(self, path: str, state: str, reason: str, facts: "Facts | None" = None) -> None:
        super().__init__(f"{path_to_text(path)}: {reason}")
        self.path = path
        self.state = state
        self.reason = reason
        self.facts = facts


class RequestError(VlIngestError):
    """One request that did not end in a receipt.

    `http_status` is the answer's status where there was one, `detail` the server's words or the
    network's without a full stop. `in_form` is false where the answer is not of the API's form, so that something else may have given it.
    """

    in_form = True

    def __init__(self, detail: str, http_status: int | None = None) -> None:
        said = detail.removesuffix(".")  # it becomes part of a sentence
        super().__init__(said if http_status is None else f"HTTP {http_status}: {said}")
        self.detail = said
        self.http_status = http_status


class NotDelivered(RequestError):
    """The server certainly did not carry the request out; another attempt is safe."""


class Throttled(NotDelivered):
    """429. `retry_after_s` is the server's wish in seconds, if it gave one."""

    def __init__(self, detail: str, retry_after_s: float | None) -> None:
        super().__init__(detail, 429)
        self.retry_after_s = retry_after_s


class OutcomeUnknown(RequestError):
    """The request may or may not have been carried out: lost, cut or unexpected answer, or 5xx."""


class Undocumented(OutcomeUnknown):
    """A success whose answer arrived whole, but is not the documented one."""


class CourierLost(OutcomeUnknown):
    """The process that carried the request has died; some of it may have been sent."""


class Answered(RequestError):
    """The server's last word; but for a redirect it was no, and the request was not carried out."""


class BadRequest(Answered):
    """400: for an upload, one bad file refuses its whole batch."""


class CredentialsRefused(Answered):
    """401. `token_number` says which token was refused (0: none was sent)."""

    def __init__(self, detail: str, token_number: int) -> None:
        super().__init__(detail, 401)
        self.token_number = token_number


class TooLarge(Answered):
    """413: the body is larger than the server takes."""


class Conflict(Answered):
    """409: the state of the dataset or transaction forbids it."""


class Denied(Answered):
    """403, 404, 422: no attempt will change it."""


class NotAvailable(Answered):
    """An optional endpoint is missing, forbidden, or answers in another form: everything has to work without it.

    A request with an effect was not carried out.
    """


class Redirected(Answered):
    """A redirect: no attempt will change it, and nobody knows what became of the request."""
