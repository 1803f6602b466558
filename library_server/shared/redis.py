"""The Redis that we share with the backend: what a request asks it, in as few round trips as can be."""

import hashlib
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from flask import Flask, current_app, g, has_request_context
from redis.exceptions import NoScriptError

from library_server.metrics import Metrics
from library_server.shared.gate import Gate, RedisAway

LONG_SECONDS = 0.03  # a request that has waited so long for Redis asks it no more

T = TypeVar("T")


class Reply:
    """The answer to a command that may still wait to be sent."""

    def __init__(self, batch: "Batch") -> None:
        self._batch = batch
        self.answer: Any = None

    def get(self) -> Any:
        """The answer; the command is sent now if it was not. Raises RedisAway."""
        self._batch.send()
        if isinstance(self.answer, Exception):
            raise RedisAway from None
        return self.answer


class Batch:
    """Commands that are sent together when the first answer is wanted: one round trip for all.

    Once it has waited for `longest` seconds, every answer is RedisAway.
    """

    def __init__(self, gate: Gate, longest: float) -> None:
        self._gate, self._longest = gate, longest
        self._waiting: list[tuple[tuple[Any, ...], Reply]] = []
        self._known: dict[tuple[Any, ...], Any] = {}
        self._waited = 0.0

    def add(self, *command: Any) -> Reply:
        """Adds a command, such as ``add("GET", key)``."""
        reply = Reply(self)
        if self._known and command in self._known:
            reply.answer = self._known[command]
        else:
            self._waiting.append((command, reply))
        return reply

    def know(self, command: tuple[Any, ...], answer: Any) -> None:
        """That Redis has told it already, in another command of this request: it is not asked again."""
        self._known[command] = answer

    def send(self) -> None:
        """Sends what waits."""
        if not self._waiting:
            return
        waiting, self._waiting = self._waiting, []
        started = time.monotonic()
        try:
            if self._waited > self._longest:
                raise RedisAway
            answers = self._gate.run([command for command, _ in waiting])
        except RedisAway as away:
            answers = [away] * len(waiting)
        self._waited += time.monotonic() - started
        for (_, reply), answer in zip(waiting, answers, strict=True):
            reply.answer = answer


def batch_of_a_request(gate: Gate) -> Batch:
    """The commands of one request, which has no time to lose."""
    return Batch(gate, LONG_SECONDS)


class Script:
    """A Lua script; Redis knows it by its digest once it has seen it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def call(self, batch: Batch, keys: Sequence[str], arguments: Sequence[str | int | bytes]) -> Any:
        """What the script returns; what waits in `batch` travels along. Raises RedisAway."""
        reply = batch.add("EVALSHA", self._digest, len(keys), *keys, *arguments)
        batch.send()
        if isinstance(reply.answer, NoScriptError):
            reply = batch.add("EVAL", self._text, len(keys), *keys, *arguments)
        return reply.get()


class SharedRedis:
    """The extension: `bind` at start, the others in an application context."""

    def bind(self, app: Flask, url: str, metrics: Metrics) -> None:
        """Makes the client, without connecting."""
        app.extensions["library_redis"] = Gate(url, metrics)

    @property
    def gate(self) -> Gate:
        """The application's."""
        gate: Gate = current_app.extensions["library_redis"]
        return gate

    def ask(self, work: Callable[[Any], T]) -> T:
        """What `work(client)` returns. Raises RedisAway."""
        return self.gate.ask(work)

    def batch(self) -> Batch:
        """The commands of this request, or of a command of ours, which has the time."""
        if "library_batch" not in g:
            g.library_batch = batch_of_a_request(self.gate) if has_request_context() else Batch(self.gate, math.inf)
        batch: Batch = g.library_batch
        return batch


redis = SharedRedis()
