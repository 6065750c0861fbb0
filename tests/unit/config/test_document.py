from dbproxy.config.document import PAGE, write_page
from dbproxy.config.env import HONOURED
from dbproxy.config.keys import walk_keys


def test_the_page_is_not_stale():
    assert PAGE.read_text() == write_page(), "run: python -m dbproxy.config.document"


def test_the_page_names_every_key_and_variable():
    page = write_page()
    for name in [key.rpartition(".")[2] for key, _ in walk_keys()] + list(HONOURED):
        assert f"`{name}`" in page or f"[[{name}]]" in page
