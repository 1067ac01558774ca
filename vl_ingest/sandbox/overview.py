"""Datasets as a list, the server's health, and the end of a dataset."""

from typing import Any

from vl_ingest.sandbox.endpoint import Call, Endpoint, Entry
from vl_ingest.sandbox.rules import Rules
from vl_ingest.sandbox.store import Store
from vl_ingest.sandbox.tasks import SOMEBODY


class Overview:
    """What is asked of the server as a whole."""

    def __init__(self, store: Store, rules: Rules) -> None:
        self._store = store
        self._rules = rules

    def endpoints(self) -> list[Endpoint]:
        """Return the addresses."""
        one = "/api/v1/datasets/{dataset}/creation-status"
        return [
            Endpoint("list", "GET", "/api/v1/datasets", 200, self._list, feature="list"),
            Endpoint("health", "GET", "/api/v1/healthcheck", 200, _health, feature="health", guarded=False),
            Endpoint("creation-status", "GET", one, 200, self._creation_status, feature="creation-status"),
            Endpoint("delete", "DELETE", "/api/v1/dataset/{dataset}", 200, self._delete, feature="delete"),
        ]

    def _list(self, _call: Call) -> tuple[list[Entry], Any]:
        listed = []
        for dataset in self._store.datasets():
            status = self._store.status(dataset.id)
            if self._rules.list_drafts or status["status"] != "NEW":
                listed.append({**status, "created_by": SOMEBODY, "owned_by": SOMEBODY})
        return [], listed

    def _creation_status(self, call: Call) -> tuple[list[Entry], Any]:
        status = self._store.status(call.dataset_id)
        return [], {"status": status["status"], "progress": status["progress"]}

    def _delete(self, call: Call) -> tuple[list[Entry], Any]:
        self._store.dataset(call.dataset_id)
        return [{"kind": "dataset_deleted", "dataset_id": call.dataset_id}], {"status": "deleted"}


def _health(_call: Call) -> tuple[list[Entry], Any]:
    return [], {"status": "healthy"}
