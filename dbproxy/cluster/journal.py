"""The cluster's log lines: what an operator is told of it."""

from typing import Any

import structlog

from dbproxy.cluster.member import Member, State

log = structlog.get_logger(__name__)


def tell_state(member: Member, before: State, primary: Member | None) -> None:
    """`before` is the state that it leaves; a second name of the primary is told as that."""
    match member.state:
        case "down":
            log.warning("host down", **_place(member), before=before, reason=member.health.last_error)
        case "lagging":
            log.warning("host lagging", **_place(member), before=before, **_lag(member))
        case state:
            twin = primary is not None and member is not primary and member.is_one_with(primary)
            same = {"same_server_as": primary.name} if primary is not None and twin else {}
            log.info(f"host {state}", **_place(member), before=before, **same)


def tell_lost(primary: Member | None) -> None:
    reason = primary.health.last_error if primary is not None else ""
    log.error("primary lost", **_place(primary), reason=reason or "it takes no writes any more")


def tell_found(primary: Member, seconds: float) -> None:
    """`seconds` is how long there was none."""
    log.warning(
        "primary found", **_place(primary), timeline=primary.position.timeline, lost_for=round(seconds, 3)
    )


def tell_fenced(member: Member, primary: Member | None) -> None:
    log.error(
        "host fenced: it takes writes, but is not the primary",
        **_place(member),
        timeline=member.position.timeline,
        primary=f"{primary.name} on timeline {primary.position.timeline}" if primary else "none",
        hint="nothing is sent there; an old primary: stop it, and make it a replica (pg_rewind); "
        "a server that has nothing to do with this primary: take its URL out of the configuration",
    )


def tell_moved(member: Member) -> None:
    log.warning(
        "host is another server", **_place(member), hint="it was restarted, or its name leads elsewhere now"
    )


def tell_late(replica: Member) -> None:
    log.warning("replica lags", **_place(replica), **_lag(replica))


def tell_differing(replica: Member, settings: list[str]) -> None:
    hint = "configure it as the primary: what a session may not set cannot be evened out"
    log.warning("replica has other settings", **_place(replica), settings=settings, hint=hint)


def tell_refused(member: Member, reason: str) -> None:
    hint = "until this is mended, its role is taken from the configuration, or stays what it was"
    log.warning("probe refused", **_place(member), reason=reason, hint=hint)


def _place(member: Member | None) -> dict[str, Any]:
    return {"host": member.name, "address": member.url.address} if member is not None else {}


def _lag(replica: Member) -> dict[str, Any]:
    return {"seconds": round(replica.lag.seconds, 1), "bytes": replica.lag.bytes}
