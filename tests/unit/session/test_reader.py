"""What a router is told of a client."""

from dbproxy.pool.commits import UNKNOWN
from dbproxy.session.reader import Reader
from tests.unit.session.fakes import OK, lend, make_client


def test_client_of_a_read_only_entry_reads_only():
    assert Reader(make_client(read_only=True)).read_only
    assert not Reader(make_client()).read_only


def test_its_settings_are_what_the_session_has_now():
    client = make_client(start={"work_mem": "1MB"})
    reader = client.route.reader
    assert reader.settings.values == {"work_mem": "1MB"}
    client.state.keep({"jit": "off"})
    assert reader.settings.values == {"work_mem": "1MB", "jit": "off"}


def test_it_has_asked_when_its_last_chunk_came():
    client = make_client()
    before = client.route.reader.arrived
    lend(client).data_received(OK)
    assert client.route.reader.arrived == client.inbound.arrived > before


def test_commit_whose_place_will_not_be_known_is_further_than_any_replica():
    reader = Reader(make_client())
    reader.committed(1000, 1)
    reader.misplaced(2)
    assert (reader.position, reader.epoch) == (UNKNOWN, 2)


def test_host_is_avoided_and_a_wait_counts_for_one_loan():
    reader = Reader(make_client())
    reader.avoided, reader.waited = "replica1", True
    reader.forget_detours()
    assert reader.avoided is None
    assert not reader.waited


def test_commit_outlives_the_loan():
    reader = Reader(make_client())
    reader.committed(1000, 1)
    reader.forget_detours()
    assert reader.position == 1000
