"""What a courier is given and what it gives back."""

from collections.abc import Sequence
from concurrent.futures import Future
from typing import NamedTuple, Protocol

from vl_ingest.couriers.carrier import Terms
from vl_ingest.domain.errors import CourierLost, FileTrouble, Refused, RequestError
from vl_ingest.domain.promised import Broken, Promised
from vl_ingest.server.answers import Answer, Lost, of_loss, of_upload
from vl_ingest.server.api import Api
from vl_ingest.server.form import body_bytes
from vl_ingest.server.limits import RECEIPT_OF_UPLOAD
from vl_ingest.server.tokens import Token
from vl_ingest.server.transport import log
from vl_ingest.server.wire import Session


class Parcel(NamedTuple):
    """One batch to send, once: `files` are the fields of `Promised` each. `address` is the path below `/api/v1` that it is posted to, `deadline_s` how long that may take.

    After the deadline, in seconds from when the courier begins, no byte of it is handed to the network.
    """

    folder: str
    files: Sequence[Promised | tuple[str, str, int, int]]
    address: str
    token: Token | None = None
    deadline_s: float | None = None

    @property
    def body_bytes(self) -> int:
        """The length of the request's body."""
        return body_bytes([file[1] for file in self.files], sum([file[2] for file in self.files]))


class Outcome(NamedTuple):
    """What came of a parcel; no `error`: the server's receipt.

    Attributes:
        error: the answer's class; `Refused` is a certificate that can't be trusted, `FileTrouble` the first of
            `troubles`.
        troubles: files that are not as promised, as far as they were looked at.
        sha256s: hex digests of the files that went out whole, in order.
        bytes_out: bytes of the body that were handed to the network; 0: nothing was delivered.
        body_bytes: the length of the body.
        line: which of the courier's connections carried it, from 1; 0: none.
        began, ended: when that had it, on the monotonic clock.
        cpu_s: processor time that its process had used by then; 0 for this process.
        recalled: it was given back before it had begun.
        host: which other host carried it.

    """

    error: RequestError | Refused | FileTrouble | None
    sha256s: list[str]
    bytes_out: int
    body_bytes: int
    began: float
    ended: float
    line: int = 0
    troubles: tuple[FileTrouble, ...] = ()
    cpu_s: float = 0.0
    recalled: bool = False
    host: str | None = None

    @property
    def http_status(self) -> int:
        """The status of the receipt."""
        return RECEIPT_OF_UPLOAD


class Courier(Protocol):
    """Carries parcels, several at once, each once."""

    def submit(self, parcel: Parcel) -> "Future[Outcome]":
        """Take a parcel. The future raises nothing but a mistake of the program."""
        ...

    @property
    def ahead(self) -> int:
        """How many parcels more than are sent at once are worth being given, so that none waits for the next."""
        ...

    @property
    def cpu_s(self) -> float:
        """Processor time that this process, and others that carry for it, have used so far."""
        ...

    def recall(self) -> None:
        """Give back at once, as outcomes that are `recalled`, the parcels that have not begun."""
        ...

    @property
    def bytes_moving(self) -> int:
        """Bytes of files that open requests have handed to the network so far."""
        ...

    def cancel(self) -> None:
        """Cut whatever is being sent, and begin nothing any more; what waits only for its answer goes on waiting."""
        ...

    def close(self) -> None:
        """Cut everything and end."""
        ...


class Carried(NamedTuple):
    """What a courier in another process says: plain values, and no judgement.

    `answer` and `lost` hold the fields of `Answer` and `Lost`, if there is one; `broken` those of `Broken`, one a file.
    """

    answer: tuple[int, str, str, str | None, str | None, str | None, bytes, bool] | None
    lost: tuple[str, bool, str | None] | None
    broken: tuple[tuple[str, str, str], ...]
    digests: bytes
    bytes_out: int
    body_bytes: int
    cut: bool
    began: float
    ended: float
    cpu_s: float


def terms_of(api: Api, named: str) -> Terms:
    """Return what the requests of another process have in common with those of this one; `named`: whom they trust."""
    with Session() as session:
        headers = {**session.headers, "Accept-Encoding": "identity"}
    return Terms(tuple((name, str(value)) for name, value in headers.items()), named, *api.timeouts)


def judged(api: Api, parcel: Parcel, carried: Carried, line: int) -> Outcome:
    """Return what `carried` means, by the same rules as if the request had gone from this process."""
    error: RequestError | Refused | FileTrouble | None
    url = api.url(parcel.address)
    troubles = tuple(FileTrouble(*Broken(*broken)) for broken in carried.broken)
    if troubles:
        error = troubles[0]
    else:
        if carried.answer is not None:
            answer = Answer(*carried.answer)
            found: RequestError | Refused | None = api.means(answer, RECEIPT_OF_UPLOAD, parcel.token)
            log("POST", url, answer.status, carried.began, carried.bytes_out, len(answer.content))
        else:
            found = of_loss(Lost(*(carried.lost or ("it was not sent", False, None))))
            log("POST", url, found, carried.began, carried.bytes_out, 0)
        error = of_upload(found, carried.bytes_out, carried.body_bytes, cut=carried.cut)
    text = carried.digests.hex()
    sha256s = [text[at : at + 64] for at in range(0, len(text), 64)]
    return Outcome(
        error, sha256s, carried.bytes_out, carried.body_bytes, carried.began, carried.ended, line, troubles,
        carried.cpu_s,
    )  # fmt: skip


def lost_with_courier(why: str, began: float, now: float, line: int, body_bytes: int) -> Outcome:
    """Return the outcome of a parcel whose courier is gone: unknown, as some of it may have been sent."""
    return Outcome(CourierLost(why), [], 1, body_bytes, began, now, line)
