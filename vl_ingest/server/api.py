"""The server's endpoints: a method an endpoint, exactly one request each.

Source of every protocol fact: the vendor's public pages on local-file upload, authentication, error
handling and dataset status.
"""

from urllib.parse import quote

from vl_ingest.domain.errors import Undocumented
from vl_ingest.domain.model import DatasetStatus
from vl_ingest.server.answers import count, identifier, json_object, number, said
from vl_ingest.server.body import Body
from vl_ingest.server.tokens import Token
from vl_ingest.server.transport import Transport


class Api(Transport):
    """The steps of an upload, for any number of threads.

    Every method raises a `RequestError`, or `Refused` for a certificate that can't be trusted.
    """

    def create_dataset(self, name: str) -> str:
        """Create a dataset and return its id. A GET with a side effect: sent twice, it makes two."""
        answer = self._fresh("GET", "ingestion/new_dataset", 200, params={"dataset_name": name})
        return identifier(json_object(answer), "dataset_id")

    def open_transaction(self, dataset_id: str) -> str:
        """Open a transaction and return its id. A GET with a side effect: sent twice, it opens two."""
        answer = self._fresh("GET", f"ingestion/{segment(dataset_id)}/data_files", 200)
        return identifier(json_object(answer), "trans_id")

    def upload_path(self, dataset_id: str, transaction_id: str) -> str:
        """Return the path that the batches of a transaction are sent to."""
        return f"ingestion/{segment(dataset_id)}/data_files/{segment(transaction_id)}"

    def upload(self, path: str, body: Body, token: Token | None = None) -> int:
        """Send one batch and return the status of the receipt; what the answer's body says is ignored.

        Raises `FileTrouble` too, from the body.
        """
        return self._send_files(self._session(), path, body, token)

    def trigger(self, dataset_id: str, transaction_id: str) -> int:
        """Start processing and return the status of the receipt. Never to be repeated on a guess."""
        path = f"ingestion/{segment(dataset_id)}/process_files/{segment(transaction_id)}"
        self._fresh("POST", path, 202)
        return 202

    def dataset_status(self, dataset_id: str) -> DatasetStatus:
        """Return the server's word on a dataset. Harmless to repeat."""
        content = json_object(self._send(self._session(), "GET", f"dataset/{segment(dataset_id)}", 200))
        word = next((w for w in map(content.get, ("status_new", "status")) if w and isinstance(w, str)), None)
        if word is None:
            raise Undocumented("the answer names no status", 200)
        return DatasetStatus(
            word=said(word) or "",
            progress=number(content.get("progress")),
            message=said(content.get("fatal_error_msg")),
            n_images=count(content.get("n_images")),
            n_videos=count(content.get("n_videos")),
            created_at=said(content.get("created_at")),
        )


def segment(text: str) -> str:
    """Return an id as it stands in an address."""
    return quote(text, safe="")
