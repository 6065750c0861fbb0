"""What is told ahead of ReadyForQuery: what is new, once, and messages only where PostgreSQL sends them."""

from dbproxy.pool.news import News
from tests.support.speech import notification, parameter_status

UTC, TOKYO = (parameter_status("TimeZone", zone) for zone in ("UTC", "Asia/Tokyo"))
HEARD = notification("jobs", "1")


def test_setting_that_changed_unseen_is_told_once():
    news = News()
    news.note("TimeZone", "UTC", told=False)
    assert news.any()
    assert news.take({}, idle=True) == UTC
    assert not news.any()
    news.note("TimeZone", "UTC", told=False)
    assert news.take({}, idle=True) == b""


def test_what_the_borrower_knows_is_not_told():
    news = News()
    news.note("TimeZone", "UTC", told=False)
    assert news.take({"TimeZone": "UTC"}, idle=True) == b""  # by its login
    news.note("TimeZone", "Asia/Tokyo", told=True)
    news.note("TimeZone", "Asia/Tokyo", told=False)
    assert news.take({"TimeZone": "UTC"}, idle=True) == b""  # it has seen the last change


def test_setting_that_is_back_at_what_login_told_is_news_to_whoever_saw_it_change():
    news = News()
    news.note("TimeZone", "Asia/Tokyo", told=True)
    news.note("TimeZone", "UTC", told=False)
    assert news.take({"TimeZone": "UTC"}, idle=True) == UTC


def test_setting_is_one_however_its_name_is_written():
    news = News()
    news.note("timezone", "UTC", told=True)
    news.note("TimeZone", "UTC", told=False)
    assert news.take({}, idle=True) == b""


def test_only_the_last_value_is_told():
    news = News()
    news.note("TimeZone", "UTC", told=False)
    news.note("TimeZone", "Asia/Tokyo", told=False)
    assert news.take({}, idle=True) == TOKYO
    news.note("TimeZone", "UTC", told=False)
    news.note("TimeZone", "Asia/Tokyo", told=True)
    assert not news.any()


def test_notifications_wait_for_the_end_of_the_transaction():
    news = News()
    news.messages.append(HEARD)
    news.note("TimeZone", "UTC", told=False)
    assert news.take({}, idle=False) == UTC
    assert news.any()
    assert news.take({}, idle=True) == HEARD
    assert not news.any()
