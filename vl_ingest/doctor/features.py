"""What of the optional endpoints this server has: each is asked about what can't exist, so that nothing is changed."""

import io
from collections.abc import Callable

from vl_ingest.domain import words
from vl_ingest.domain.checks import Check, compared, ok, warning
from vl_ingest.domain.errors import Conflict, NotAvailable, Refused, RequestError
from vl_ingest.server.optional import Extras

NO_ONE = "00000000-0000-0000-0000-000000000000"  # neither a dataset nor a task
NO_ROUTE = "Not Found"  # what web frameworks answer to an address that they do not know

# What it is called -> what asks for it; whether a 404 with other words says that it is there.
OPTIONAL: dict[str, tuple[Callable[[Extras], object], bool]] = {
    "tasks": (lambda extras: extras.tasks(page_size=5), False),
    "export": (lambda extras: extras.export_status(NO_ONE, NO_ONE), True),
    "list of media ids": (lambda extras: extras.media_ids(NO_ONE, io.BytesIO()), True),
    "list of datasets": (lambda extras: extras.datasets(), False),
}
USE = {
    "tasks": "`reprocess`, `cancel --abort`, `status --live`, and the outcome of a lost request to start processing",
    "export": "`verify` and `run --confirm`",
    "list of media ids": "the same, where there is no export",
    "list of datasets": "names that are taken, and datasets left by lost requests",
}


def check_features(extras: Extras) -> Check:
    """Return which of the optional endpoints answer; a run works without any."""
    missing: dict[str, str] = {}
    for name, (ask, of_nothing) in OPTIONAL.items():
        try:
            ask(extras)
        except Conflict:
            continue  # it knows what it is asked for
        except NotAvailable as exc:
            known = of_nothing and exc.http_status == 404 and exc.in_form and exc.detail != NO_ROUTE
            if not known:
                missing[name] = words.clause(exc)
        except (RequestError, Refused) as exc:
            missing[name] = words.clause(exc)
    has = [name for name in OPTIONAL if name not in missing]
    text = f"This server has: {', '.join(has) or 'nothing of what is optional'}."
    for name, why in missing.items():
        text += f" No {name} ({why}): not needed for a run, but for {USE[name]}."
    return ok("optional", text, features={name: name not in missing for name in OPTIONAL})


def check_name(extras: Extras, name: str) -> Check:
    """Return whether the server has a dataset of that name already."""
    try:
        ids = [dataset.id for dataset in extras.datasets() if dataset.name == name]
    except (RequestError, Refused) as exc:
        text = f"The server does not list its datasets ({words.clause(exc)}): {name!r} may be taken."
        return compared("name", None, text)
    if ids:
        text = f"The server has a dataset named {name!r} already ({', '.join(ids)}). A new job makes another one."
        return warning("name", text, datasets=ids)
    return ok("name", f"No dataset is named {name!r}, as far as the server lists them.", datasets=[])
