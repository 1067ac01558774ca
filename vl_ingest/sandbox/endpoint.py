"""What an endpoint is: its address, its receipt, and what carries a request out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from vl_ingest.sandbox.faults import Fault
from vl_ingest.sandbox.receive import Body

Entry = dict[str, Any]
Happens = Callable[[str, str], Fault | None]  # what befalls a piece of work, and which medium


@dataclass
class Call:
    """A request that has been received whole. `checked` is what the endpoint's `check` returned."""

    request: Request
    number: int
    body: Body | None = None
    checked: Any = None

    @property
    def dataset_id(self) -> str:
        """The dataset in the address."""
        return str(self.request.path_params["dataset"])

    def query(self, name: str, default: str = "") -> str:
        """Return a parameter of the address."""
        return self.request.query_params.get(name, default)


@dataclass(frozen=True)
class Endpoint:
    """One address. `carry_out` returns the entries to record, and the answer: JSON or a response."""

    name: str
    method: str
    path: str
    receipt: int
    carry_out: Callable[[Call], tuple[list[Entry], Any]]
    receive: Callable[[Request], Body] | None = None
    check: Callable[[Call], Any] | None = None  # made in a thread of its own, before `carry_out`; refuses
    names: Callable[[Body], Sequence[str]] = lambda _body: ()  # of the files that a body holds
    feature: str | None = None  # what `without` calls it
    guarded: bool = True  # wants a token where the server wants them
