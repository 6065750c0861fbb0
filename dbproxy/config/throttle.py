"""The section that says what makes a job wait."""

import re
from datetime import datetime, time
from typing import Annotated
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

from dbproxy.config.section import Section, setting
from dbproxy.config.units import Count, Duration, Size, Unit

Ratio = Annotated[float, Unit("number", "{:g}".format)]

_HOURS = re.compile(r"(\d\d?):(\d\d)\s*-\s*(\d\d?):(\d\d)")
OFF = "off"
Hours = tuple[tuple[time, time], ...]


def parse_window(text: str) -> Hours:
    """From when to when; ValueError if it is none. `22:00-06:00` goes over midnight, and 24:00 is one."""
    return tuple(_parse_hours(part.strip()) for part in text.split(",") if part.strip())


def _parse_hours(text: str) -> tuple[time, time]:
    found = _HOURS.fullmatch(text)
    if found is None:
        raise ValueError('must be hours of the day, such as "02:00-06:00" or "22:00-06:00, 12:00-13:00"')
    first, last = (
        time(int(hour) % 24, int(minute)) for hour, minute in (found.groups()[:2], found.groups()[2:])
    )
    if first == last or max(int(found[1]), int(found[3])) > 24:
        raise ValueError("must be hours from 00:00 to 24:00, and end at another time than they begin")
    return first, last


def check_window(text: str) -> str:
    parse_window(text)
    return text


def check_zone(name: str) -> str:
    if name:
        try:
            ZoneInfo(name)
        except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
            raise ValueError('must be the name of a time zone, such as "Europe/Berlin"') from None
    return name


def check_proxy(url: str) -> str:
    if url not in ("", OFF) and not re.match(r"https?://[^/?#\s]", url):
        raise ValueError("must be such as http://10.0.0.5:9127, or off")
    if re.match(r"[^/]*//[^/?#]*@", url):
        raise ValueError(
            "must be without a user and a password: the ledger would keep them; http.token is sent to it"
        )
    return url


class ThrottleSettings(Section):
    """What a batch looks at before each chunk, and waits for; 0, or empty, looks at nothing of the kind."""

    enabled: bool = setting(default=True, description="Whether it waits for anything; also `--no-throttle`.")
    proxy: Annotated[str, AfterValidator(check_proxy)] = setting(
        "",
        "Where the proxy answers over HTTP, such as `http://10.0.0.5:9127`; `off`: it is not asked. Empty: as "
        "`http.host` and `http.port` say. Also `--proxy`.",
    )
    interval: Duration = setting("250ms", "How often at most it looks.", ge=0.01, le=60)
    max_lag: Duration = setting(
        "1.5s", "How far behind a replica may be that takes reads; it goes on at half of that."
    )
    max_utilisation: Count = setting(
        80,
        "How many of the servers of one pool may be lent, in percent; not asked of a pool in session mode.",
        le=100,
    )
    waiters: bool = setting(default=True, description="Whether it waits while a client waits for a server.")
    p95_ratio: Ratio = setting(
        1.5, "How much slower the application may become, as a multiple of its p95 before the start.", ge=0
    )
    p99_ratio: Ratio = setting(
        1.3,
        "How much slower the slowest hundredth of the application's queries may become, as a multiple of its p99 "
        "before the start, until chunks become shorter and then rest.",
        ge=0,
    )
    max_p95: Duration = setting("0s", "The longest that the application's p95 may be.")
    max_wal: Size = setting(
        "64MiB", "WAL that all may write together in a second; it goes on at half of that."
    )
    max_backlog: Size = setting(
        "1GiB", "WAL that a slot may hold back, or that may wait to be archived; it goes on at half of that."
    )
    vacuum: bool = setting(
        default=True,
        description="Whether it waits while autovacuum, or other maintenance, works on the table.",
    )
    max_snapshot: Duration = setting(
        "30m", "The longest that a transaction of others may have held its snapshot: dead rows stay as long."
    )
    query: str = setting("", "A query that says whether to wait: one row of one boolean.")
    file: str = setting("", "A file; it waits as long as that is there.")
    nice_ratio: Ratio = setting(
        0.0, "How long it rests after a chunk, as a multiple of the chunk's time.", ge=0, le=100
    )
    window: Annotated[str, AfterValidator(check_window)] = setting(
        "", 'Hours of the day in which it works, such as "02:00-06:00"; several with commas.'
    )
    timezone: Annotated[str, AfterValidator(check_zone)] = setting(
        "", "Whose hours those of `window` are, such as `Europe/Berlin`; empty: this machine's."
    )
    critical_lag: Duration = setting(
        "30s", "A replica that is so far behind ends the batch after three looks."
    )
    critical_query: str = setting(
        "", "A query that says whether to end it, after three looks: one row of one boolean."
    )

    @property
    def hours(self) -> Hours:
        return parse_window(self.window)

    def tell_time(self) -> datetime:
        """Now, where `window` is meant."""
        return datetime.now(ZoneInfo(self.timezone)) if self.timezone else datetime.now().astimezone()
