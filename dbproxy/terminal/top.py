"""`dbproxy top`: what a proxy does, looked at again and again."""

from collections import deque
from time import monotonic

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from dbproxy.errors import ServerLost, ServerUnavailable
from dbproxy.terminal.address import Address
from dbproxy.terminal.columns import CRITICAL
from dbproxy.terminal.connection import Connection
from dbproxy.terminal.keyboard import reading_keys
from dbproxy.terminal.screen import render
from dbproxy.terminal.snapshot import Observer, Snapshot
from dbproxy.terminal.traffic import measure

KEPT = 40  # looks whose queries per second are drawn
QUIT = frozenset({"q", "Q", "\x1b"})
ROWS = 20  # of each table, where there is no screen that is full
FIXED = 14  # lines of a screen that are no rows: heads, titles, gaps
TABLES = 6


class Top:
    """One console, and what was seen of it. ProxyError if it cannot be asked at first."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.console: Connection | None = Connection(address)
        self.observer = Observer()
        self.last: Snapshot | None = None
        self.history: deque[float] = deque(maxlen=KEPT)

    def look(self, now: float, most: int) -> RenderableType:
        """The screen of this moment."""
        if self.console is None:
            self.console = Connection(self.address)
        snapshot = self.observer.look(self.console, now)
        traffic = measure(snapshot, self.last)
        self.history.append(sum(one.queries for one in traffic))
        self.last = snapshot
        return render(snapshot, traffic, list(self.history), where=str(self.address), most=most)

    def look_again(self, now: float, most: int, shown: RenderableType) -> RenderableType:
        """The same; while the proxy is away, what was shown last, and why: it may come back."""
        try:
            return self.look(now, most)
        except (ServerLost, ServerUnavailable) as error:
            self.close()
            return Group(Text(f"{error.message}; asked again", style=CRITICAL), shown)

    def close(self) -> None:
        if self.console is not None:
            self.console.close()
            self.console = None


def show_once(address: Address, screen: Console) -> None:
    top = Top(address)
    try:
        screen.print(top.look(monotonic(), ROWS))
    finally:
        top.close()


def watch(address: Address, screen: Console, interval: float) -> None:
    """Until `q`; any other key looks at once."""
    top = Top(address)
    try:
        shown = top.look(monotonic(), count_rows(screen))
        with reading_keys() as wait, Live(shown, console=screen, screen=True, auto_refresh=False) as live:
            live.refresh()
            while wait(interval) not in QUIT:
                seen = top.look_again(monotonic(), count_rows(screen), shown)
                shown = seen if top.console is not None else shown
                live.update(seen, refresh=True)
    except KeyboardInterrupt:
        return
    finally:
        top.close()


def count_rows(screen: Console) -> int:
    """How many rows each table may have, for all to be seen."""
    return max(2, (screen.height - FIXED) // TABLES)
