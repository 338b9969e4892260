"""Making the vectors that are missing, by one process at a time, while everybody writes and searches."""

from caxton_llm.stores.postgres_memory.locks import alone, alone_until_committed
from caxton_llm.stores.postgres_memory.sessions import Connection, Sessions
from caxton_llm.stores.postgres_memory.spaces import Spaces, embedded, sweep

__all__ = ["Filling"]

_LAST = 64
"""Missing vectors that are few: about as many as are written while those before them are made."""
_TRIES = 3
"""Times that the last vectors are made beside writers; after that these wait for them, or a busy store would never be
complete."""


class Filling:
    """Fills the wanted space of a process, and lets it serve when it has everything."""

    def __init__(self, sessions: Sessions, spaces: Spaces) -> None:
        self._sessions = sessions
        self._spaces = spaces
        self._tries = 0
        self.vectors_made = 0

    def embed_missing(self, limit: int) -> int:
        """See `EmbedderStore.embed_missing`."""
        spaces = self._spaces
        with self._sessions.connection() as db, alone(db, "embed", wait=False) as held:
            may = held and spaces.may_fill(db)
            done = self._embed_some(db, limit) if may else 0
            if not spaces.may_fill(db):
                return 0
            left = spaces.left(db, min(limit, _LAST)) if done == limit else spaces.missing(db)
            if not may:
                spaces.refresh(db)
                return left or int(spaces.is_changing)
            if left <= _LAST and (spaces.is_changing or not spaces.are_alone(db)):
                left = self._end(db, left)
            if not left:
                sweep(db)
            return left

    def _embed_some(self, db: Connection, limit: int) -> int:
        """Returns how many vectors were made."""
        lacking = self._spaces.lacking(db, limit)
        if lacking:
            vectors = embedded(self._spaces.wanted.embedder, [one.text for one in lacking])
            self._spaces.fill(db, lacking, vectors)
            self.vectors_made += len(lacking)
        return len(lacking)

    def _end(self, db: Connection, left: int) -> int:
        """Let the wanted space serve if it has everything; returns how many vectors are missing."""
        if left and self._tries < _TRIES:
            self._tries += 1
            return left
        with db.transaction():
            alone_until_committed(db, "change")
            # No passage is written until this has ended, and who waited for it sees which spaces there are then.
            db.execute("lock table passages in share mode")
            if not self._spaces.may_fill(db):
                return 0
            if self._tries >= _TRIES:
                self._embed_some(db, _LAST)
            if left := self._spaces.missing(db):
                self._tries += 1
                return left
            self._spaces.leave_others(db)
        self._tries = 0
        self._spaces.switched()
        return 0
