"""`dbproxy serve` with a name service of its own: `python -m tests.support.names FILE serve …`.

The file has a line `NAME ADDRESS…` for each name. An address is a port of this machine's, or `address:port`, so that
ports may stand for addresses: all hosts of a test have the same. `fail` and `hang` are what a resolver may do, too.
"""

import socket
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbproxy.cli import main
from tests.support.proxy import Proxy


class NamedProxy(Proxy):
    """`names`: the port that each stands for, or all its addresses with blanks between; to be changed by `move`."""

    def __init__(self, url: str, names: Mapping[str, int | str], **kwargs: Any) -> None:
        Proxy.__init__(self, url, **kwargs)
        self.names = dict(names)
        self.table = Path(self.folder.name) / "names"
        self.command = (sys.executable, "-m", __name__, str(self.table), "serve")
        self.move({})

    def move(self, names: Mapping[str, int | str]) -> None:
        """From now on these lead there."""
        self.names |= names
        fresh = self.table.with_suffix(".new")
        fresh.write_text("".join(f"{name} {port}\n" for name, port in self.names.items()))
        fresh.replace(self.table)  # whoever reads meanwhile has the one or the other


def read(table: Path) -> dict[str, list[str]]:
    return {name: addresses for name, *addresses in map(str.split, table.read_text().splitlines())}


def answer(addresses: list[str]) -> list[tuple[Any, ...]]:
    """As socket.getaddrinfo does."""
    if addresses == ["fail"]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
    if addresses == ["hang"]:
        time.sleep(3600)
    places = [address.rpartition(":") for address in addresses]
    return [
        (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host or Proxy.host, int(port)))
        for host, _, port in places
    ]


def run(table: Path) -> None:
    ask = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        names = read(table)
        return answer(names[host]) if host in names else ask(host, port, *args, **kwargs)

    socket.getaddrinfo = look_up
    main()


if __name__ == "__main__":
    run(Path(sys.argv.pop(1)))
