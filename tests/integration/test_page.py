"""The page at `/` of a proxy that serves real clients, in headless Chromium."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import psycopg
import pytest
from aiohttp import ClientSession, ClientTimeout, web

from dbproxy.demo.postgres import Postgres
from tests.support.browser import Tab, needs_chromium, open_browser
from tests.support.hosts import routing
from tests.support.postgres import Database
from tests.support.proxy import Proxy
from tests.support.serving import serving

pytestmark = [needs_chromium, pytest.mark.timeout(240)]
MARKUP = "<img src=x onerror=document.title='broken'>"
ROWS = "[...document.querySelectorAll('#query-list tr')]"
TEXTS = f"{ROWS}.map((row) => row.querySelector('.text').textContent)"
FOCUSED = "document.activeElement.textContent"
WIDE = (1300, 900)
FAINT = """(() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => rgb.slice(0, 3).map((v) => v / 255)
    .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
  };
  const says = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  const measure = (element) => {
    const style = getComputedStyle(element);
    const colour = parse(element.closest('svg') ? style.fill : style.color);
    const [a, b] = [light(colour), light(behind(element))].sort((x, y) => y - x);
    return [(a + 0.05) / (b + 0.05), element.textContent];
  };
  return [...document.querySelectorAll('body *:not(script, style, noscript)')]
    .filter((element) => says(element) && element.checkVisibility()).map(measure).filter(([ratio]) => ratio < 4.5);
})()"""  # texts with less contrast than WCAG AA asks for
LEFTS = """[...document.querySelectorAll('main > section')].filter((section) => !section.hidden)
  .map((section) => Math.round(section.getBoundingClientRect().left))"""
TOO_SMALL = """[...document.querySelectorAll('header button, header input, [role=tab]')]
  .filter((button) => button.getBoundingClientRect().height < 40)"""
BADGES = """[...find('host-list').children]
  .map((host) => [...host.querySelectorAll('strong, .badge')].map((part) => part.textContent).join(' '))"""


@pytest.fixture(scope="module")
def proxy(module_database: Database) -> Iterator[Proxy]:
    with serving(
        module_database, {"pool.size": 2, "pool.reserve_size": 0, "auth.admin_users": "app"}
    ) as running:
        yield running


@pytest.fixture
async def tab() -> AsyncIterator[Tab]:
    async with open_browser() as opened:
        await opened.dress(*WIDE)
        yield opened


def connect(proxy: Proxy, **told: str) -> psycopg.Connection:
    return psycopg.connect(proxy.dsn(), autocommit=True, prepare_threshold=None, **told)


async def command(proxy: Proxy, text: str) -> None:
    def run() -> None:
        with psycopg.connect(proxy.dsn("dbproxy"), autocommit=True, prepare_threshold=None) as console:
            console.execute(text)

    await asyncio.to_thread(run)


async def test_figures_are_live_and_those_of_the_counters(proxy: Proxy, tab: Tab, module_database: Database):
    await command(proxy, "RESET QUERIES")
    with connect(proxy) as client:
        for _ in range(7):
            client.execute("SELECT 42 AS the_answer")
        with pytest.raises(psycopg.errors.DivisionByZero):
            client.execute("SELECT 1 / 0")
        await tab.open(proxy.http_url)
        await tab.until("find('state').textContent === 'live'")
        row = f"{ROWS}.find((row) => row.textContent.includes('the_answer'))"
        await tab.until(f"{row} !== undefined && {row}.named.calls.textContent === '7'")
        for _ in range(5):
            client.execute("SELECT 42 AS the_answer")
        await tab.until(f"{row}.named.calls.textContent === '12'")
        pool = "find('pool-list').firstElementChild"
        assert await tab.run(f"{pool}.named.name.textContent") == f"{module_database.name} / app"
        await tab.until("model.points.some((point) => point.queries > 0 && point.p95_us > 0)")
        counted = f'dbproxy_query_duration_seconds_count{{database="{module_database.name}",user="app"}} '
        metrics = await tab.run("fetch('/metrics').then((answer) => answer.text())")
        number = float(metrics.partition(counted)[2].split()[0])
        await tab.until(f"model.moment.pools[0].queries === {number}")
        assert await tab.run("document.querySelectorAll('.chart path').length") > 0
        assert (await tab.run("document.querySelector('.chart').getAttribute('aria-label')")).startswith(
            "Throughput: "
        )
    assert not tab.complaints


async def test_limits_have_a_tile_once_they_are_asked(proxy: Proxy, tab: Tab):
    tiles = "find('tiles').textContent"
    await tab.open(proxy.http_url)
    await tab.until(f"{tiles}.includes('queries/s')")
    assert not await tab.run(f"{tiles}.includes('over limits/s')")
    try:
        await command(proxy, "SET limits.tier = free")
        await command(proxy, "SET limits = observe")
        with connect(proxy) as client:
            for _ in range(40):
                client.execute("SELECT 1")
        await tab.until("model.moment.limits.decided.observed === 28")
        await tab.until(f"{tiles}.includes('over limits/s')")
    finally:
        await command(proxy, "SET limits = off")
    assert not tab.complaints


async def test_who_waits_is_shown_and_gone_when_served(proxy: Proxy, tab: Tab):
    await tab.open(proxy.http_url)
    holders = [connect(proxy, application_name="careless") for _ in range(2)]
    for holder in holders:
        holder.execute("BEGIN")
    async with await psycopg.AsyncConnection.connect(
        proxy.dsn(), autocommit=True, prepare_threshold=None, application_name="late"
    ) as waiter:
        waiting = asyncio.create_task(waiter.execute("SELECT 1"))
        await tab.until("find('waiter-list').textContent.includes('late')")
        assert await tab.run("find('pool-list').firstElementChild.named.waiting.textContent") == "1"
        held = await tab.run("find('waiter-list').querySelector('.holders').textContent")
        assert [part for part in ("by careless", "idle in transaction", "BEGIN") if part not in held] == []
        for holder in holders:
            holder.close()
        await waiting
        await tab.until("find('waiters').hidden")
    assert not tab.complaints


async def test_markup_in_names_and_statements_is_text(proxy: Proxy, tab: Tab):
    with connect(proxy, application_name=MARKUP) as client:
        client.execute(f'SELECT 1 AS "{MARKUP}"')
        client.execute("CREATE TEMP TABLE kept ()")  # an event, with its application_name
        await tab.open(proxy.http_url)
        await tab.until(f"{TEXTS}.some((text) => text.includes('onerror'))")
        await tab.until("find('event-list').textContent.includes('<img src=x onerror')")
        await tab.run(
            f"{ROWS}.find((row) => row.textContent.includes('onerror')).querySelector('.text').click()"
        )
        await tab.until("document.querySelector('#statement pre')?.textContent.includes('<img')")
        assert await tab.run("document.querySelectorAll('img').length") == 0
        assert await tab.run("document.title") == "dbproxy"
    assert not tab.complaints


async def test_browser_itself_refuses_markup_and_foreign_hosts(proxy: Proxy, tab: Tab):
    await tab.open(proxy.http_url)
    await tab.until("find('state').textContent === 'live'")
    refused = "(() => { try { document.body.innerHTML = 'x'; } catch (error) { return error.name; } })()"
    assert await tab.run(refused) == "TypeError"
    assert (
        await tab.run("fetch('http://127.0.0.2:1/').then(() => '', (error) => error.message)")
        == "Failed to fetch"
    )
    assert any("Content Security Policy" in complaint for complaint in tab.complaints)


async def test_keys_do_what_the_help_says(proxy: Proxy, tab: Tab):
    await command(proxy, "RESET QUERIES")
    with connect(proxy) as client:
        client.execute("SELECT 1 AS first_one")
        client.execute("SELECT 2 AS second_one, pg_sleep(0.05)")
    await tab.open(proxy.http_url)
    await tab.until(f"{ROWS}.length >= 2")
    await tab.press("?")
    assert await tab.run("find('help').open")
    await tab.press("p")  # keys wait until the list is closed
    await tab.press("Escape")
    await tab.until("!find('help').open")
    await tab.press("?")
    await tab.run("document.querySelector('#help .close').click()")
    await tab.until("!find('help').open")
    await tab.press("/")
    await tab.type("first_one")
    await tab.until(f"{ROWS}.length === 1")
    await tab.press("Escape")
    await tab.until(f"{ROWS}.length >= 2 && document.activeElement === document.body")
    await tab.press("j")
    first = await tab.run(FOCUSED)
    assert "pg_sleep" in first
    await tab.press("j")
    assert await tab.run(FOCUSED) != first
    await tab.press("k")
    seen = await tab.run("model.moment.at")
    await tab.until(f"model.moment.at > {seen}")
    assert await tab.run(FOCUSED) == first, "the focus stays where it is when the page is written anew"
    await tab.press("Enter")
    await tab.until("document.querySelector('#statement .histogram') !== null")
    assert await tab.run("document.querySelectorAll('#statement tbody tr').length") == 5
    await tab.press("Escape")
    await tab.until("!find('statement').open && location.hash === ''")
    await tab.press("o")
    assert await tab.run("document.querySelector('[aria-selected=true]').textContent") == "Slowest"
    await tab.press("4")
    assert await tab.run("document.activeElement.id") == "queries-title"
    await tab.press("p")
    assert await tab.run("find('state').textContent") == "held"
    assert not tab.complaints


async def test_chart_is_read_by_keys(proxy: Proxy, tab: Tab):
    await tab.open(proxy.http_url)
    await tab.until("model.points.length >= 3")
    await tab.run("document.querySelector('.chart').focus()")
    await tab.press("ArrowLeft")
    assert await tab.run("document.querySelectorAll('.chart line.cursor').length") == 1
    assert await tab.run("document.querySelector('.chart figcaption').getAttribute('aria-live')") == "polite"


async def test_tab_reaches_everything_in_order(proxy: Proxy, tab: Tab):
    with connect(proxy) as client:
        client.execute("SELECT 1")
    await tab.open(proxy.http_url)
    await tab.until(f"{ROWS}.length > 0")
    await tab.press("p")  # else a statement may come between
    places = []
    for _ in range(9):
        await tab.press("Tab")
        places.append(
            await tab.run(
                "document.activeElement.id || document.activeElement.className || document.activeElement.role"
            )
        )
    assert places[:4] == ["skip", "filter", "pause", "ask"]
    assert places[4:7] == ["chart"] * 3
    assert await tab.run("document.activeElement.closest('#queries') !== null")


@pytest.mark.parametrize("dark", [False, True])
async def test_texts_have_contrast(proxy: Proxy, tab: Tab, dark: bool):
    """WCAG AA: 4.5, of each text against what is behind it."""
    await tab.dress(*WIDE, dark=dark)
    await tab.open(proxy.http_url)
    await tab.until("find('state').textContent === 'live' && find('event-list').children.length > 0")
    ground = await tab.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(15, 19, 24)" if dark else "rgb(244, 246, 248)")
    faint = await tab.run(FAINT)
    assert faint == []


async def test_phone_has_one_column_and_nothing_sticks_out(proxy: Proxy, tab: Tab):
    with connect(proxy) as client:
        client.execute("SELECT 'a' AS " + "long_" * 12)
        await tab.dress(360, 740)
        await tab.open(proxy.http_url)
        await tab.until(f"{ROWS}.length > 0 && find('pool-list').children.length > 0")
    assert await tab.run("document.documentElement.scrollWidth") <= 360
    assert len(set(await tab.run(LEFTS))) == 1
    assert await tab.run(f"{TOO_SMALL}.length") == 0
    await tab.run("find('query-list').querySelector('.text:enabled').click()")
    await tab.until("document.querySelector('#statement .histogram') !== null")
    assert await tab.run("document.documentElement.scrollWidth") <= 360


async def test_page_comes_back_when_the_proxy_does(module_database: Database, tab: Tab):
    with serving(module_database) as proxy:
        await tab.open(proxy.http_url)
        await tab.until("find('state').textContent === 'live'")
        await asyncio.to_thread(proxy.stop)
        await tab.until("find('state').textContent === 'the proxy does not answer'")
        await asyncio.to_thread(proxy.start)
        await tab.until("find('state').textContent === 'live' && model.moment.proxy.uptime_s < 30")


async def test_hosts_tell_role_and_state_and_events_what_was_done(hosts: list[Postgres], tab: Tab):
    def open_proxy() -> Iterator[Proxy]:
        with routing(hosts) as proxy:
            yield proxy

    opened = open_proxy()
    proxy = await asyncio.to_thread(next, opened)
    try:
        await tab.open(proxy.http_url)
        await tab.until(f"{BADGES}.length === 3 && {BADGES}.every((text) => text.endsWith(' up'))")
        assert [text.split()[1] for text in await tab.run(BADGES)] == ["primary", "replica", "replica"]
        name = (await tab.run(BADGES))[1].split()[0]
        await command(proxy, f"DISABLE HOST {name}")
        await tab.until(f"{BADGES}[1] === '{name} replica disabled'")
        await tab.until("find('event-list').textContent.includes('host disabled')")
        await tab.until("find('event-list').textContent.includes('DISABLE HOST')")
        await command(proxy, "SET routing = 'observe'")
        await tab.until("find('event-list').textContent.includes('setting changed')")
        await tab.until("find('feature-list').textContent.includes('observe')")
    finally:
        await asyncio.to_thread(opened.close)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def guarded(target: str) -> web.Application:
    """What stands ahead of a proxy that asks for a token for everything but the page."""

    async def forward(request: web.Request) -> web.StreamResponse:
        if request.path != "/" and request.headers.get("Authorization") != "Bearer open sesame":
            return web.json_response({"error": "no"}, status=401)
        async with (
            ClientSession(timeout=ClientTimeout(None)) as client,
            client.get(target + request.path) as answer,
        ):
            response = web.StreamResponse(headers={name: answer.headers[name] for name in ("Content-Type",)})
            await response.prepare(request)
            async for data in answer.content.iter_any():
                await response.write(data)
            return response

    application = web.Application()
    application.add_routes([web.get("/{path:.*}", forward)])
    return application


async def test_token_is_asked_for_and_sent(proxy: Proxy, tab: Tab):
    runner = web.AppRunner(guarded(proxy.http_url), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        await tab.open(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        for token in ("wrong", "open sesame"):
            await tab.until("find('login').open")
            await tab.run("find('token').focus()")
            await tab.type(token)
            await tab.press("Enter")
            await tab.until("!find('login').open || find('token').value === ''")
        await tab.until("find('state').textContent === 'live'")
    finally:
        await tab.open("about:blank")
        await runner.cleanup()
