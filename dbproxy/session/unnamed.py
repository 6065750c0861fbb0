"""A client's unnamed statement.

It is nobody else's, and prepared again on a server that has another one (session.binding). Meanwhile its tables may
have become others: a client that was told its columns, and does not ask anew, is refused rows of another shape, as
PostgreSQL refuses them where it has the statement.
"""

from dbproxy.pool.scopes import Scope
from dbproxy.sql.identity import NO_SHAPE, Shape
from dbproxy.wire.reply import columns_key

BY_PORTAL = 1  # in `told`: what `portal_columns` say


class Unnamed:
    """Of one client. `body`: None if there is none; `scope`: of its Parse.

    Each Parse has bytes of its own, though they be equal: by `is` a server that has this one is told from one that has
    an earlier one, for which names, or columns, may have been others.
    """

    def __init__(self, scope: Scope) -> None:
        self.body: bytes | None = None
        self.shape = NO_SHAPE
        self.scope: Scope = scope
        self.told = 0  # its columns, as the client was told
        self.changed = False  # it has others on the server at hand
        self.portal_columns = (
            b""  # a RowDescription or NoData: what the client was told by its portal; empty: nothing
        )

    def become(self, body: bytes | None, shape: Shape, scope: Scope) -> None:
        """It is this one now, of which the client was told nothing."""
        self.body = body
        self.shape = shape
        self.scope = scope
        self.told = 0
        self.portal_columns = b""

    def learn(self, columns: int, full: int, renewed: bool) -> None:
        """It was described, to the client or (`renewed`) to us, where it was prepared again.

        `columns`, `full`: `wire.reply.columns_key`.
        """
        if not renewed:
            self.told = full
            self.changed = False
            return
        told = self.told
        if told == BY_PORTAL:
            told = columns_key(b"", self.portal_columns, 0) if self.portal_columns else 0
        self.changed = told not in (0, columns, full)
