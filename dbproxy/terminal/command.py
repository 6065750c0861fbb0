"""`dbproxy admin`: commands to the console, and what it answers."""

from collections.abc import Iterable, Iterator

from dbproxy.terminal.address import Address
from dbproxy.terminal.connection import Connection
from dbproxy.terminal.format import Format
from dbproxy.terminal.printing import show
from dbproxy.terminal.result import Result


def run_commands(
    address: Address, commands: Iterable[str], chosen: Format
) -> Iterator[tuple[str, list[str]]]:
    """What each answer prints, and the notices that came with it; ProxyError if one fails, the rest is not asked."""
    with Connection(address) as console:
        console.wait_for_ever()
        for command in commands:
            for result in ask(console, command):
                yield show(result, chosen), [tell(notice) for notice in result.notices]


def ask(console: Connection, command: str) -> list[Result]:
    """Ctrl-C takes back a PAUSE that waits, and whatever else does."""
    try:
        return console.ask(command)
    except KeyboardInterrupt:
        console.cancel()
        raise


def tell(notice: dict[str, str]) -> str:
    return f"{notice.get('S', 'NOTICE')}: {notice.get('M', '')}{notice.get('D', '')}"
