"""The causal token: a position that an application carries from one session to another.

`SHOW dbproxy.causal_token` says where the session's last commit is; a session that is given it by `SET` reads nothing
older. PostgreSQL itself answers: ahead of the SHOW the setting is given its value, which is the session's from then on.
"""

from dbproxy.pool.commits import UNKNOWN
from dbproxy.pool.insertions import spell_ours
from dbproxy.pool.parameters import literal
from dbproxy.pool.server import Server
from dbproxy.routing.consistency import is_placed, own_position
from dbproxy.routing.lsn import format_lsn
from dbproxy.session.owner import Owner
from dbproxy.sql.settings import TOKEN
from dbproxy.sql.statement import SETS

_LSN = "::pg_catalog.pg_lsn"
# On the primary the position is behind whatever the session has committed; on a replica, behind what it has seen there.
_NOW = (
    "CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_wal_replay_lsn()"
    " ELSE pg_catalog.pg_current_wal_insert_lsn() END"
)


def renew_token(client: Owner, server: Server, simple: bool) -> bytes:
    """Messages that give the setting its value ahead of the statement that shows it."""
    server.dialogue.traces.touched.add(TOKEN)
    server.dialogue.traces.effects |= SETS
    least, known = find_position(client, server)
    value = literal(format_lsn(least))
    if not known:
        value = f"GREATEST({_NOW}, {value}{_LSN})::pg_catalog.text"
    return spell_ours(
        server.dialogue, [f"SELECT pg_catalog.set_config({literal(TOKEN)}, {value}, false)"], simple
    )


def find_position(client: Owner, server: Server) -> tuple[int, bool]:
    """What the session's last commit is not behind of, its token included, and whether it is nowhere later."""
    router = client.route.judge.router
    if router is None:
        return 0, False
    commits = router.commits
    token = router.wishes_of(client.settings).token
    if not (router.cluster.positions and client.pool.tenant.tells_positions):
        return (UNKNOWN if client.route.reader.wrote_at or token else 0), True
    position = max(own_position(client.route.reader, commits), token)
    asked = commits.asks and is_placed(client.route.reader, commits)
    return position, asked and (client.route.host is not None or is_fresh(client, server))


def is_fresh(client: Owner, server: Server) -> bool:
    """Whether nothing was sent in this loan yet: then all commits before it are known."""
    sent = server.loan.served or server.dialogue.status != ord("I") or client.translator.series.executes
    return not sent and server.dialogue.only_ours()
