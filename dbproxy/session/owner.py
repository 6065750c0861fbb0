"""A client as its session knows it: session.client has it, and imports what is made with this."""

from collections.abc import Collection, Mapping
from typing import Protocol

from dbproxy.errors import ProxyError
from dbproxy.pool.news import News
from dbproxy.pool.parameters import Parameters
from dbproxy.pool.pool import Pool
from dbproxy.routing.reader import Reader
from dbproxy.routing.router import Router
from dbproxy.session.channels import Listener
from dbproxy.session.identity import Identity
from dbproxy.session.inbound import Inbound
from dbproxy.session.names import Names
from dbproxy.session.readings import Readings
from dbproxy.session.series import Series
from dbproxy.session.unnamed import Unnamed


class Prepared(Protocol):
    """What its statements' names mean (session.vocabulary)."""

    @property
    def unnamed(self) -> Unnamed: ...
    @property
    def by_sql(self) -> Mapping[bytes, bytes]: ...
    def settle(self, settings: Mapping[str, str]) -> None: ...
    def share_no_more(self, names: Collection[str]) -> None: ...


class Translator(Protocol):
    """What servers are sent for them (session.translator)."""

    @property
    def series(self) -> Series: ...
    @property
    def names(self) -> Names: ...
    @property
    def readings(self) -> Readings: ...


class Judge(Protocol):
    """Which requests go to which host (session.judging); `router`: where there are replicas."""

    @property
    def router(self) -> Router | None: ...


class Route(Protocol):
    """The host that answers it (session.route); `host`: None for the primary."""

    @property
    def reader(self) -> Reader: ...
    @property
    def judge(self) -> Judge: ...
    @property
    def host(self) -> object: ...


class Lending(Protocol):
    """How it holds a server (session.loan)."""

    claims: bool


class Owner(Listener, Protocol):
    """Whose session it is."""

    settings: Parameters

    @property
    def identity(self) -> Identity: ...
    @property
    def pool(self) -> Pool: ...
    @property
    def news(self) -> News: ...
    @property
    def inbound(self) -> Inbound: ...
    @property
    def closed(self) -> bool: ...
    @property
    def prepared(self) -> Prepared: ...
    @property
    def translator(self) -> Translator: ...
    @property
    def route(self) -> Route: ...
    @property
    def lending(self) -> Lending: ...
    def resume(self, event: int) -> None: ...
    def disconnect(self, reason: str, error: ProxyError | None = None) -> None: ...
