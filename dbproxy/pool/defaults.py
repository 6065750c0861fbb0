"""What a server gives each new session: the values of its settings before the session has set any.

They are read at a server connection's login (PostgreSQL: "Setting Parameters") from the configuration file, and from
what `ALTER ROLE … SET` and `ALTER DATABASE … SET` have left; what changes there later holds for later logins. So each
connection is asked for its *snapshot* before it is lent. All connections of a pool have equal snapshots:

    a newer one differs      the older connections are closed as they come back. A session that began under them keeps
                             their values as if it had asked for them at its login; but not what comes from the
                             configuration file of the same server, which changes running sessions in PostgreSQL, too
    a replica's differs      it is opened again with the primary's values in its start-up packet: so they are there
                             after RESET ALL as well. What cannot be set so is told to the operator
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from dbproxy.pool.parameters import literal
from dbproxy.sql.settings import TRANSACTIONS

_DATABASE = "(SELECT oid FROM pg_catalog.pg_database WHERE datname = {})"  # and its number
_USER = "(SELECT oid FROM pg_catalog.pg_roles WHERE rolname = {})"
# Which of pg_db_role_setting's rows hold for a database and a role, by their numbers.
_ROWS = (
    "pg_catalog.pg_db_role_setting AS d WHERE d.setdatabase IN (0, {database}) AND d.setrole IN (0, {user})"
)
# Asked of a server at its login, by its own user. One hexadecimal text, which is the same in every encoding: by name
# the value, whether this user may set it, and whether it comes from the catalog. The role's own search_path may lead to
# other operators than PostgreSQL's. Of the settings that no session may set those are asked for that its queries meet.
SNAPSHOT = (
    "SET LOCAL search_path = pg_catalog;"  # noqa: S608 - no text of others
    " WITH own AS (SELECT DISTINCT lower(split_part(entry, '=', 1)) AS name"
    f" FROM (SELECT unnest(d.setconfig) AS entry FROM {_ROWS}) AS entries),"
    " found (name, value, free) AS ("
    "SELECT lower(name), reset_val,"
    " context = 'user' OR (context = 'superuser' AND current_setting('is_superuser') = 'on')"
    " FROM pg_settings WHERE context IN ('user', 'superuser') OR name IN"
    " ('jit_provider', 'server_version', 'shared_preload_libraries', 'track_commit_timestamp')"
    " UNION ALL SELECT own.name, current_setting(own.name, true), true FROM own"
    " WHERE strpos(own.name, '.') > 0 AND NOT EXISTS (SELECT FROM pg_settings AS s WHERE lower(s.name) = own.name)"
    " UNION ALL VALUES ('role', current_setting('role'), true),"
    " ('is_superuser', current_setting('is_superuser'), false), ('', concat({database}, ' ', {user}), false))"
    " SELECT encode(convert_to(json_object_agg(name, json_build_array(coalesce(value, ''), free,"
    " name IN (SELECT own.name FROM own)))::text, 'UTF8'), 'hex') FROM found"
).format(database=_DATABASE.format("current_database()"), user=_USER.format("session_user"))


def fingerprint(snapshot: "Snapshot | None", database: str, user: str) -> str:
    """A question to any connection of the server: an answer other than before may mean other defaults.

    Each login asks it: it is as cheap as can be once the numbers are known.
    """
    if snapshot is not None:
        rows = _ROWS.format(database=snapshot.database, user=snapshot.user)
    else:
        rows = _ROWS.format(database=_DATABASE.format(literal(database)), user=_USER.format(literal(user)))
    return (
        "SELECT pg_catalog.concat(extract(epoch FROM pg_catalog.pg_conf_load_time()),"  # noqa: S608 - quoted
        " (SELECT pg_catalog.string_agg(pg_catalog.concat(d.setdatabase, ' ', d.setrole, ' ', d.setconfig::text),"
        f" ' ' ORDER BY d.setdatabase, d.setrole) FROM {rows}))"
    )


@dataclass(frozen=True)
class Snapshot:
    """Values by lower-case name; which of them the user may set, and which `ALTER … SET` has set.

    `database` and `user` are the numbers (oid) of whom it is about.
    """

    values: Mapping[str, str]
    settable: frozenset[str] = frozenset()
    altered: frozenset[str] = frozenset()
    database: int = 0
    user: int = 0

    def differing(self, other: "Snapshot") -> set[str]:
        """The settings that have other values there; a custom one that is not there is empty."""
        names = self.values.keys() | other.values.keys()
        return {name for name in names if self.values.get(name, "") != other.values.get(name, "")}


Place = tuple[str, int, str]  # host, port, and the database's name there
NOWHERE: Place = ("", 0, "")  # nobody is asked


@dataclass(slots=True, eq=False)
class Defaults:
    """Those of one pool's servers, as far as they are known. Written by app.defaults alone."""

    place: Place | None = None  # by the settings at hand
    snapshot: Snapshot | None = None
    address: str = ""  # of the server that it was taken of
    fingerprint: bytes = b""  # since when nothing else can have been altered unseen
    overrides: dict[str, str] = field(
        default_factory=dict
    )  # a replica's: for its connections' start-up packets
    refused: bool = False  # it did not take them

    def reset(self) -> None:
        """A replica's have to be found out anew."""
        self.overrides, self.refused = {}, False


def read_snapshot(answer: str) -> Snapshot:
    """What the answer to SNAPSHOT says."""
    found = json.loads(bytes.fromhex(answer))
    for name in TRANSACTIONS:  # of the transaction that asked
        found.pop(name, None)
    database, user = map(int, found.pop("")[0].split())
    return Snapshot(
        {name: value for name, (value, _, _) in found.items()},
        frozenset(name for name, (_, settable, _) in found.items() if settable),
        frozenset(name for name, (_, _, altered) in found.items() if altered),
        database,
        user,
    )


def kept(before: Snapshot, after: Snapshot, *, same_server: bool) -> dict[str, str]:
    """What sessions of `before` need on servers of `after` to notice nothing, as far as they may set it."""
    altered = before.altered | after.altered
    return {
        name: before.values.get(name, "")
        for name in sorted(before.differing(after))
        if (name in after.settable or "." in name) and (name in altered or not same_server)
    }


def find_uneven(wanted: Snapshot, found: Snapshot) -> set[str]:
    """Settings in which a replica is not as its primary; what it logs is its operator's affair."""
    return {name for name in wanted.differing(found) if not name.startswith("log_")}


def even_out(defaults: Defaults, wanted: Snapshot, found: Snapshot) -> set[str]:
    """Note the start-up parameters with which a replica's connection has what is wanted; the names of new ones."""
    if defaults.refused:
        return set()
    missing = {
        name: wanted.values.get(name, "")
        for name in find_uneven(wanted, found)
        if name in wanted.settable or "." in name
    }
    new = {name for name, value in missing.items() if defaults.overrides.get(name) != value}
    if new:
        defaults.overrides = {**defaults.overrides, **missing}
    return new
