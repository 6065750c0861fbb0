from dbproxy.admin.aliases import SHOWN, list_aliases
from dbproxy.admin.show import SHOWS
from tests.unit.admin.house import FakeHouse, records, settings


def test_settings_are_shown_by_pgbouncers_names_and_in_its_units():
    given = settings(
        DBPROXY_POOL__QUERY_WAIT_TIMEOUT="1500ms", DBPROXY_POOL__APPLICATION_NAME_ADD_HOST="true"
    )
    rows = {name: rest for name, *rest in list_aliases(given)}
    assert rows["query_wait_timeout"] == ["1.5", "120", "yes"]
    assert rows["application_name_add_host"] == ["1", "0", "yes"]
    assert rows["default_pool_size"] == ["50", "50", "yes"]
    assert rows["listen_port"] == ["6432", "6432", "no"]
    assert rows["admin_users"] == ["admin", "dbproxy", "yes"]
    assert rows["auth_file"][0] == ""


def test_exporters_find_the_limits_that_they_chart():
    config = {row["key"]: row["value"] for row in records(SHOWS["config"](FakeHouse()))}
    assert (config["max_client_conn"], config["max_user_connections"]) == ("10000", "0")
    assert SHOWN.keys() <= config.keys()
