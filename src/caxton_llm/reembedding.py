"""A memory whose vectors follow the configured embedder: after a change everything is embedded anew in the background, while
the previous embedder serves.

What a store remembers of its embedders lets the previous one be opened again; where that fails, the new one serves at once.
Several processes may have the memory open: one at a time embeds, and who is left behind by a change follows it.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

import msgspec
from msgspec import Struct

from caxton_llm.config.memory_configuration import EmbedderSettings
from caxton_llm.config.schema import ProviderEntry
from caxton_llm.embedders.http import HttpEmbedder
from caxton_llm.embedders.opening import calibration_of, described, open_embedder, recalled
from caxton_llm.errors import ConfigurationError, LlmError, MemoryStoreError
from caxton_llm.memory.embedder_store import EmbedderStore, KeptEmbedder, MemoryPlace
from caxton_llm.memory.embedding import Embedder
from caxton_llm.memory.embedding.calibration import Calibration
from caxton_llm.memory.store import Progress

__all__ = ["EmbeddedMemory", "EmbeddingStatus", "Opener", "open_memory"]

Opener = Callable[[EmbedderSettings, Mapping[str, int]], Embedder]
"""`open_embedder`, or what stands in for it."""

_BATCH = 512
"""Texts between two looks at whether it is time to end."""
_LOOK_S = 5.0
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 300.0


class EmbeddingStatus(Struct, frozen=True, kw_only=True):
    """Which embedder serves, which one is to, and how many vectors of that are missing (`None`: not counted yet)."""

    serving: str
    wanted: str
    missing: int | None
    problem: str = ""
    """Why it does not go on at the moment; it is tried again."""


def open_memory(
    place: MemoryPlace,
    settings: EmbedderSettings,
    *,
    entries: Sequence[ProviderEntry] = (),
    opener: Opener = open_embedder,
    background: bool = True,
    progress: Progress | None = None,
) -> "EmbeddedMemory":
    """The memory in `place` with the embedder of `settings`; secrets are in place there and in `entries`, which are those
    under `llm`. `background`: threads embed and index; without it nothing is done before `step`.

    Raises `MemoryStoreError`; `ConfigurationError` for an embedder that cannot be; and what an embedder over HTTP raises
    whose server does not answer, when the store has nothing of it and no previous embedder could serve instead.
    """
    return EmbeddedMemory(place, settings, entries=entries, opener=opener, background=background, progress=progress)


class EmbeddedMemory:
    """A store, the embedder that serves its queries, and that embedder's scale; see `open_memory`."""

    def __init__(
        self,
        place: MemoryPlace,
        settings: EmbedderSettings,
        *,
        entries: Sequence[ProviderEntry],
        opener: Opener,
        background: bool,
        progress: Progress | None,
    ) -> None:
        self._place = place
        self._settings = settings
        self._entries = entries
        self._opener = opener
        self._opened: list[Embedder] = []
        self._calibrations: dict[str, Calibration] = {}
        self._note = ""
        self._problem = ""
        self._failures = 0
        self._missing: int | None = None
        self._wanted: Embedder | None = None
        """What the store is still to be changed to; `None`: that is done, or another process has decided otherwise."""
        self._has_looked = False
        self._done = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        try:
            self.store = self._open(background, progress)
        except BaseException:
            self._close_embedders()
            raise
        if background:
            self._thread = threading.Thread(target=self._work, name="caxton-memory-embed", daemon=True)
            self._thread.start()

    # -- what is asked of it --------------------------------------------------------------------------------------------

    @property
    def embedder(self) -> Embedder:
        """What embeds queries now. Hand its name to `store.candidates`, which says when it has changed meanwhile."""
        return self.store.embedder

    @property
    def calibration(self) -> Calibration | None:
        """The scale of `embedder`; `None` while it could not be measured, because its server does not answer."""
        return self._calibrations.get(self.embedder.name)

    @property
    def status(self) -> EmbeddingStatus:
        """How far a change of the embedder is."""
        serving = self.embedder.name
        wanted = serving if self._wanted is None else self._wanted.name
        return EmbeddingStatus(serving=serving, wanted=wanted, missing=self._missing, problem=self._problem)

    @property
    def problems(self) -> list[str]:
        """What the operator should know: of embedders, and of the store's index files."""
        return [problem for problem in (self._note, self._problem) if problem] + self.store.problems

    def wait(self, timeout_s: float) -> bool:
        """Whether every vector of the configured embedder is there; waits for it, at most so long."""
        return self._done.wait(timeout_s)

    def close(self) -> None:
        """End the threads, close embedders and store. What is not embedded yet goes on next time."""
        self._closing.set()
        self._close_embedders()
        if self._thread is not None:
            self._thread.join()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- opening --------------------------------------------------------------------------------------------------------

    def _open(self, background: bool, progress: Progress | None) -> EmbedderStore:
        kept, passages = self._place.kept_embedders()
        dimensions = {one.name: one.dimensions for one in kept}
        wanted = self._with(self._settings, dimensions)
        previous = self._previous(kept, passages, wanted)
        self._wanted = wanted
        try:
            wanted.dimensions  # noqa: B018 - a server is asked for them
        except LlmError as error:
            if previous is None:
                raise
            self._failed(error)
            return self._place.open(previous, claims=False, background=background, progress=progress)
        store = self._place.open(wanted, previous=previous, background=background, progress=progress)
        store.remember_embedder(wanted.name, settings=described(self._settings))
        try:
            for embedder in (store.embedder, wanted):
                self._calibrate(store, embedder, kept)
        except LlmError as error:
            self._failed(error)
        except BaseException:
            store.close()
            raise
        return store

    def _previous(self, kept: Sequence[KeptEmbedder], passages: int, wanted: Embedder) -> Embedder | None:
        """The embedder that can serve while vectors of the wanted one are missing."""
        if any(one.name == wanted.name and one.vectors >= passages for one in kept):
            return None
        old = next((one for one in kept if one.name != wanted.name and one.vectors), None)
        if old is None:
            return None
        try:
            embedder = self._again(old)
            embedder.embed(["word"])  # a server must answer, or no query would be served
        except LlmError as error:
            self._note = (
                f"the previous embedder {old.name} cannot be opened: {error}; {wanted.name} serves at once, and what has no"
                " vector of it yet is found by its words alone"
            )
            return None
        self._keep_calibration(old)
        return embedder

    def _again(self, old: KeptEmbedder) -> Embedder:
        """An embedder that the store has vectors of. Raises `ConfigurationError` when it is another one today."""
        settings = EmbedderSettings() if old.settings is None else recalled(old.settings, self._settings, self._entries)
        embedder = self._with(settings, {old.name: old.dimensions})
        if embedder.name != old.name:
            self._opened.remove(embedder)
            raise ConfigurationError(
                "the store does not remember how it was opened"
                if old.settings is None
                else f"what it was opened from is {embedder.name} today"
            )
        return embedder

    def _with(self, settings: EmbedderSettings, dimensions: Mapping[str, int]) -> Embedder:
        embedder = self._opener(settings, dimensions)
        self._opened.append(embedder)
        return embedder

    def _close_embedders(self) -> None:
        for embedder in self._opened:
            if isinstance(embedder, HttpEmbedder):
                embedder.close()

    # -- the scale ------------------------------------------------------------------------------------------------------

    def _calibrate(self, store: EmbedderStore, embedder: Embedder, kept: Sequence[KeptEmbedder] = ()) -> None:
        """Measure an embedder once in the life of a store. Raises what the embedder raises."""
        for one in kept:
            if one.name == embedder.name:
                self._keep_calibration(one)
        if embedder.name not in self._calibrations:
            measured = self._calibrations[embedder.name] = calibration_of(embedder)
            store.remember_embedder(embedder.name, calibration=msgspec.json.encode(measured).decode())

    def _keep_calibration(self, kept: KeptEmbedder) -> None:
        try:
            self._calibrations[kept.name] = msgspec.json.decode(kept.calibration or "", type=Calibration)
        except msgspec.MsgspecError:
            return  # none, or one of another version: it is measured anew

    # -- in the background ----------------------------------------------------------------------------------------------

    def step(self) -> float:
        """Do a part of what there is to do; returns after how many seconds to look again. Failures are kept in `status`."""
        try:
            wait = self._step()
        except (LlmError, ValueError, OSError, RuntimeError) as error:
            if self._closing.is_set():
                return 0.0
            return self._failed(error)
        self._failures, self._problem = 0, ""
        return wait

    def _step(self) -> float:
        if (name := self.store.successor()) is not None:
            self._follow(name)
        wanted = self._wanted
        if wanted is not None:
            if not self.store.is_changing and self.embedder is not wanted:
                self.store.change_embedder(wanted)
                self.store.remember_embedder(wanted.name, settings=described(self._settings))
            self._calibrate(self.store, wanted)
        if not self._has_looked or self.store.is_changing or self.store.owes_vectors:
            wait = self._embed_some(wanted)
        else:
            wait = _LOOK_S
        self._calibrate(self.store, self.embedder)
        return wait

    def _embed_some(self, wanted: Embedder | None) -> float:
        made = self.store.vectors_made
        self._missing = self.store.embed_missing(_BATCH)
        if self._missing:
            is_elsewhere = self.store.vectors_made == made  # another process embeds
            return _LOOK_S if is_elsewhere else 0.0
        self._has_looked = True
        if self.embedder is wanted:
            self._wanted, self._note = None, ""
        if self._wanted is None:
            self._done.set()
        return _LOOK_S

    def _follow(self, name: str) -> None:
        """Another process has changed the memory's embedder: whoever was configured last decides."""
        if self._wanted is not None and self._wanted.name == name:
            self.store.follow(self._wanted)
            return
        self._wanted = None
        kept = next((one for one in self._place.kept_embedders()[0] if one.name == name), None)
        try:
            if kept is None:
                raise MemoryStoreError("the store has no vectors of it")
            embedder = self._again(kept)
            self._keep_calibration(kept)
        except LlmError as error:
            raise MemoryStoreError(
                f"another process has changed the memory's embedder to {name}, which cannot be opened here: {error};"
                " searches go by words alone until this process is started again with the same configuration"
            ) from None
        self.store.follow(embedder)
        self._note = f"another process has changed the memory's embedder to {name}, which is used here too from now on"

    def _failed(self, error: Exception) -> float:
        self._problem = str(error)
        self._failures += 1
        return min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2.0 ** min(self._failures - 1, 20))

    def _work(self) -> None:
        wait = 0.0
        while not self._closing.wait(wait):
            wait = self.step()
