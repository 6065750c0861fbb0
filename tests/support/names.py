"""`dbproxy serve` with a name service of its own: `python -m tests.support.names FILE serve …`.

The file has a line `NAME PORT` for each name, looked up at each connect, as a resolver would. Ports stand for
addresses, since all hosts of a test have the same.
"""

import sys
from pathlib import Path
from typing import Any

from dbproxy.app import lifecycle
from dbproxy.cli import main
from dbproxy.net.loop import Loop
from tests.support.proxy import Proxy


class NamedProxy(Proxy):
    """`names`: the port that each stands for; to be changed by `move`."""

    def __init__(self, url: str, names: dict[str, int], **kwargs: Any) -> None:
        Proxy.__init__(self, url, **kwargs)
        self.names = names
        self.table = Path(self.folder.name) / "names"
        self.command = (sys.executable, "-m", __name__, str(self.table), "serve")
        self.move({})

    def move(self, names: dict[str, int]) -> None:
        """From now on these lead there."""
        self.names |= names
        fresh = self.table.with_suffix(".new")
        fresh.write_text("".join(f"{name} {port}\n" for name, port in self.names.items()))
        fresh.replace(self.table)  # whoever reads meanwhile has the one or the other


def read(table: Path) -> dict[str, str]:
    return dict(line.split() for line in table.read_text().splitlines())  # type: ignore[misc]  # two words each


def run(table: Path) -> None:
    class NamingLoop(Loop):
        async def getaddrinfo(self, host: Any, port: Any, **kwargs: Any) -> Any:
            ports = read(table)
            if host in ports:
                host, port = Proxy.host, int(ports[host])
            return await Loop.getaddrinfo(self, host, port, **kwargs)

    lifecycle.Loop = NamingLoop  # type: ignore[misc]
    main()


if __name__ == "__main__":
    run(Path(sys.argv.pop(1)))
