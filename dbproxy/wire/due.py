"""A reply due: what the sender of a message notes with it (wire.pipeline), to act upon when its reply has come."""


class Due:
    """The kinds say what follows (pool.dues, pool.request)."""

    __slots__ = ()

    def amend_unnamed(self, previous: object) -> bool:
        """If it replaces the client's unnamed statement: that was this one; False if it does not."""
        return False
