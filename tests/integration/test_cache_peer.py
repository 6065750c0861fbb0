"""The same writers and readers through Pgpool-II: what they notice there, they would notice here."""

from tests.integration.test_cache_staleness import CLIENTS, clients, prepare
from tests.support.pgpool import Pgpool
from tests.support.postgres import Database
from tests.support.staleness import Storm


async def test_the_same_readers_see_rows_of_before_a_commit_through_pgpool(database: Database):
    prepare(database)
    with Pgpool(database) as pgpool:
        async with clients(pgpool.dsn, CLIENTS) as readers, clients(pgpool.dsn, CLIENTS) as writers:
            report = await Storm(4000).run(readers, writers)
    assert report.stale
