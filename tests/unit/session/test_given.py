"""Giving a server what a client has by names that SQL uses."""

import pytest

from dbproxy.pool.server import Server
from dbproxy.session.client import Client
from dbproxy.session.given import NO_SQL, Giver, encode
from dbproxy.sql.statement import DEALLOCATES, PREPARES
from dbproxy.wire import build
from dbproxy.wire.extended import write_parse
from tests.unit.session.fakes import make_client, make_server

BODY = b"SELECT 1\0\0\0"


@pytest.fixture
def client() -> Client:
    client = make_client()
    client.prepared.define(b"it", BODY)
    return client


@pytest.fixture
def giver(client: Client) -> Giver:
    return client.translator.names.giver


@pytest.fixture
def server(client: Client) -> Server:
    return make_server(client.pool)


# --- giving ---------------------------------------------------------------------------------------------------


def test_what_the_client_has_is_prepared_once_under_its_name(giver: Giver, server: Server):
    assert giver.give(server, [b"it", b"unheard_of", b"it"]) == build.parse("it", "SELECT 1")
    assert server.dialogue.given.names == {b"it": [BODY]}


def test_what_it_executes_goes_ahead(client: Client, giver: Giver, server: Server):
    client.prepared.define(b"outer", b"EXECUTE it\0\0\0")
    given = giver.give(server, [b"outer"])
    assert given == build.parse("it", "SELECT 1") + build.parse("outer", "EXECUTE it")


def test_nothing_is_given_to_who_deallocates_all(giver: Giver, server: Server):
    server.dialogue.given.deallocating_all = True
    assert giver.give(server, [b"it"]) == b""


def test_name_that_is_to_be_refused_is_held_by_an_empty_statement(giver: Giver, server: Server):
    assert giver.hold(server, b"it", PREPARES) == write_parse(b"it", NO_SQL)
    assert server.dialogue.given.empty == {b"it"}
    assert giver.give(server, [b"it"]) == build.close_statement("it") + build.parse("it", "SELECT 1")
    assert not server.dialogue.given.empty


def test_name_that_is_free_is_not_held(giver: Giver, server: Server):
    assert giver.hold(server, b"unheard_of", DEALLOCATES) == b""


# --- which statements a name may run --------------------------------------------------------------------------


def test_name_does_what_its_statement_does(client: Client, giver: Giver):
    client.prepared.define(b"lock", b"SELECT pg_advisory_lock(1)\0\0\0")
    client.prepared.by_sql[b"sql"] = b"PREPARE sql AS SELECT pg_advisory_lock(1)"
    effects = giver.effects_of
    (locks,) = effects(b"lock")
    (by_sql,) = effects(b"sql")
    assert locks.effects == by_sql.effects != 0
    assert not by_sql.prepares  # it is carried out, not prepared
    assert effects(b"unheard_of") == []


def test_names_that_are_no_utf8_are_names():
    assert encode(["a", "\udcff"]) == [b"a", b"\xff"]
