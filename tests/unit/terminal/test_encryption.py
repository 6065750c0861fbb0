"""What libpq's variables say of TLS to the console."""

import pytest

from dbproxy.errors import ConfigurationError
from dbproxy.net.tls import Files
from dbproxy.terminal.encryption import PREFERRED, Wish, read_wish


def test_it_is_preferred_where_nothing_is_said():
    assert read_wish({}) == read_wish({"PGSSLMODE": ""}) == PREFERRED


def test_variables_are_libpqs():
    environ = {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": "ca", "PGSSLCERT": "own", "PGSSLKEY": "key"}
    assert read_wish(environ) == Wish("verify-full", Files("own", "key", "ca"))


def test_mode_that_there_is_not_is_refused():
    with pytest.raises(ConfigurationError, match='PGSSLMODE is "very": must be one of disable, '):
        read_wish({"PGSSLMODE": "very"})
