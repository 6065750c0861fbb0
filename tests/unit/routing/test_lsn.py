"""Positions in the WAL as PostgreSQL writes them."""

import pytest

from dbproxy.routing.lsn import format_lsn, parse_lsn


def test_positions_are_written_as_postgresql_does():
    assert format_lsn(parse_lsn("16/B374D848")) == "16/B374D848"
    with pytest.raises(ValueError, match="position"):
        parse_lsn("16")
