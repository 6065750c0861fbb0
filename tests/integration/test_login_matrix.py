"""Every way of a client to log in, with every way of the proxy to log in to a server, by real drivers."""

import pytest

from dbproxy.demo.installation import installations
from tests.logins.drivers import IN, list_missing
from tests.logins.page import PAGE, write_page
from tests.logins.place import CLIENTS, SERVERS, Cell, open_place

pytestmark = pytest.mark.timeout(600)  # the first has all of them tried, by Java and node, too


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[Cell, str]:
    missing = list_missing()
    if not any(installation.name.startswith("debian") for installation in installations()):
        missing.append("Debian's PostgreSQL")
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("logins")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # PostgreSQL's account reads its certificate there
    with open_place(folder) as place:
        return place.run()


def test_the_page_tells_what_came_of_every_login(found: dict[Cell, str]) -> None:
    page = PAGE.read_text()
    assert page == write_page(page, found), "run: python -m tests.logins"


@pytest.mark.parametrize("client", CLIENTS)
def test_who_proves_itself_is_let_in_where_the_server_trusts_us(found: dict[Cell, str], client: str) -> None:
    mode = "unix" if client == "peer" else "tls"
    outcomes = {
        cell: outcome for cell, outcome in found.items() if (cell.mode, cell.client) == (mode, client)
    }
    assert {cell.server for cell in outcomes} == set(SERVERS)
    assert {outcome for cell, outcome in outcomes.items() if cell.server == "trust"} == {IN}
