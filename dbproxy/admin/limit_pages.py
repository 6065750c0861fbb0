"""`/limits`: what limits have decided, and the keys that use most of theirs, as JSON."""

from dataclasses import asdict
from time import monotonic
from typing import Any

from aiohttp import web

from dbproxy.admin.house import House
from dbproxy.admin.limit_figures import find_share, limit_figures
from dbproxy.admin.limits import list_standings
from dbproxy.config.limits import show_tier
from dbproxy.limits.limiter import Limiter
from dbproxy.observe.figures import LimitFigures

TOP = 50  # keys
Json = dict[str, Any]


class LimitPages:
    def __init__(self, house: House) -> None:
        self.house = house

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/limits", self.show)]

    async def show(self, request: web.Request) -> web.Response:
        """`?limit=` keys, 50 at most."""
        most = request.query.get("limit", str(TOP))
        if not (most.isascii() and most.isdigit()):
            return web.json_response({"error": "limit must be a number"}, status=400)
        standings = await list_standings(self.house, min(int(most), TOP))
        now = monotonic()
        answer = describe_limits(self.house.limits.limiter, now) | {"top": list(map(asdict, standings))}
        return web.json_response(answer)


def describe_limits(limiter: Limiter, now: float) -> Json:
    """All but the keys; `now`: monotonic seconds."""
    figures, settings = limit_figures(limiter, now), limiter.settings
    return {
        "mode": settings.mode,
        "percent": settings.percent,
        "pace": settings.pace,
        "count": settings.count,
        "keys": figures.keys,
        "max_keys": settings.max_keys,
        "without_room": figures.without_room,
        "tiers": describe_tiers(limiter, figures),
        "sources": describe_sources(limiter, figures),
        "shared": describe_sharing(figures),
    }


def describe_tiers(limiter: Limiter, figures: LimitFigures) -> list[Json]:
    tiers = limiter.settings.tiers
    return [
        {
            "tier": tier,
            "limit": show_tier(tiers[tier]) if tier in tiers else "",
            **counts,
            "refused_share": round(find_share(dict(counts)), 6),
        }
        for tier, counts in figures.decisions.items()
    ]


def describe_sources(limiter: Limiter, figures: LimitFigures) -> list[Json]:
    return [
        {
            "rule": rule.name,
            "keys": rule.reading.keys,
            "unreadable": rule.reading.unreadable,
            "read_s_ago": round(age, 3) if (age := figures.source_ages.get(rule.name)) is not None else None,
            "error": rule.reading.error,
        }
        for rule in limiter.book.rules
        if rule.settings.source
    ]


def describe_sharing(figures: LimitFigures) -> Json | None:
    """None where limits are this proxy's alone."""
    shared = figures.shared
    if shared is None:
        return None
    return {
        "degraded": shared.degraded,
        "error": shared.error,
        "proxies": shared.proxies,
        "leases": dict(shared.leases),
    }
