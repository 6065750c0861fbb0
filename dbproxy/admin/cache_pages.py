"""`/cache`: kept answers, the tables they depend on, and the statements that they answer, as JSON."""

from dataclasses import asdict
from typing import Any

from aiohttp import web

from dbproxy.admin.cache_figures import cache_figures, list_bypasses, list_statements, list_tables
from dbproxy.admin.house import Caches, House

TOP = 50  # tables, statements and reasons
Json = dict[str, Any]


class CachePages:
    def __init__(self, house: House) -> None:
        self.house = house

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/cache", self.show)]

    async def show(self, request: web.Request) -> web.Response:
        """`?limit=` tables and statements, 50 at most."""
        most = request.query.get("limit", str(TOP))
        if not (most.isascii() and most.isdigit()):
            return web.json_response({"error": "limit must be a number"}, status=400)
        caches, number = self.house.caches, min(int(most), TOP)
        answer = {
            **describe_cache(caches),
            "tables": [asdict(table) for table in (await list_tables(caches))[:number]],
            "queries": [asdict(one) for one in await list_statements(caches, number)],
            "reasons": list(map(asdict, list_bypasses(caches, number))),
        }
        return web.json_response(answer)


def describe_cache(caches: Caches) -> Json:
    """All but tables and statements."""
    return asdict(cache_figures(caches))
