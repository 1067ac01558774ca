"""Who looks at what: one look at the ledger for all who look at the same, and only what has changed is sent."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from vl_ingest import clock

EVERY_S = 1.0  # between two looks,
SHARE = 20  # or so many times as long as the last one took
ALIVE_S = 15.0  # after so long without news a word is sent, to notice who has gone

K = TypeVar("K")
Parts = Mapping[str, str]


@dataclass
class View:
    """What some are looking at: each part with the number of the look that changed it."""

    parts: dict[str, tuple[int, str]] = field(default_factory=dict)
    number: int = 0
    watchers: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    said: tuple[int, int, str] = (0, 0, "")  # the last message, and the two looks that it lies between

    def show(self, parts: Parts) -> None:
        """Take the parts of the next look."""
        number = self.number + 1
        fresh = {
            name: (number, text) for name, text in parts.items() if self.parts.get(name, (0, None))[1] != text
        }
        if fresh:
            self.parts |= fresh
            self.number = number
            self.wake()

    def wake(self) -> None:
        """Let all watchers look."""
        self.changed.set()
        self.changed = asyncio.Event()

    def message(self, seen: int) -> str:
        """Return a server-sent event with what has changed since look `seen`; made once for all."""
        if self.said[:2] != (seen, self.number):
            fresh = {name: text for name, (number, text) in self.parts.items() if number > seen}
            self.said = seen, self.number, f"event: parts\ndata: {json.dumps(fresh)}\n\n"
        return self.said[2]


class Live(Generic[K]):
    """Follows what is looked at, as long as somebody does. `look` is called in a thread; for one event loop."""

    def __init__(self, look: Callable[[K], Parts]) -> None:
        self._look = look
        self._views: dict[K, tuple[View, asyncio.Task[None]]] = {}
        self._closed = False

    async def follow(self, key: K) -> AsyncGenerator[str]:
        """Yield server-sent events: at first everything, then what has changed; ends when this is closed."""
        if key not in self._views:
            made = View()
            task = asyncio.create_task(self._keep_looking(key, made))
            task.add_done_callback(lambda _task: made.wake())
            self._views[key] = made, task
        view, task = self._views[key]
        view.watchers += 1
        seen = 0
        try:
            while not self._closed and not task.done():
                changed = view.changed
                if view.number > seen:
                    message, seen = view.message(seen), view.number
                    yield message
                    continue
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), ALIVE_S)
                    continue
                yield ": still here\n\n"
            if not self._closed:
                task.result()  # raises what ended it
        finally:
            view.watchers -= 1
            if not view.watchers:
                task.cancel()
                del self._views[key]

    def close(self) -> None:
        """End it for everybody. In the event loop."""
        self._closed = True
        for view, task in self._views.values():
            task.cancel()
            view.wake()

    async def _keep_looking(self, key: K, view: View) -> None:
        while not self._closed:
            begun = clock.monotonic()
            view.show(await asyncio.to_thread(self._look, key))
            await asyncio.sleep(max(EVERY_S, SHARE * (clock.monotonic() - begun)))
