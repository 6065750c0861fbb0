from dbproxy.auth.access import Access
from dbproxy.auth.users import Users


def test_secrets_are_not_shown() -> None:
    users = Users()
    users.add("app", "hers")
    assert "hers" not in repr(Access(users))
