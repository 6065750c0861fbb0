// The page's parts, each written anew from `model` once a second.

const model = { moment: null, before: null, points: [], events: [], order: "top", filter: "", held: false };

const STATES = { up: "good", starting: "warn", lagging: "warn", draining: "warn", disabled: "warn", down: "bad", fenced: "bad" };
const SHORTEST = 16; // microseconds: the first bucket of a pool's histograms, where those are who did not wait
const SERIOUS = { warning: "warn", error: "bad", critical: "bad" };
const POOL_COLUMNS = [
  ["name", null, null], ["servers", "servers", null], ["clients", "clients", "number"], ["waiting", "waiting", "number"],
  ["wait", "longest wait", "number"], ["queries", "queries/s", "number"], ["errors", "errors/s", "number"], ["pins", "pins", null],
];
const QUERY_COLUMNS = [
  ["text", null, null], ["where", null, "muted"], ["calls", "calls", "number"], ["mean", "mean", "number"], ["p95", "p95", "number"],
  ["max", "max", "number spare"], ["share", "share", "number"], ["wait", "waited", "number spare"], ["errors", "errors", "number spare"],
];

const charts = [
  new Chart("Throughput", [
    { name: "transactions/s", column: "transactions", colour: "second" },
    { name: "queries/s", column: "queries", colour: "first", area: true },
    { name: "errors/s", column: "errors", colour: "failed" },
  ], showNumber),
  new Chart("Latency", [
    { name: "p50", column: "p50_us", colour: "first" },
    { name: "p95", column: "p95_us", colour: "second" },
    { name: "p99", column: "p99_us", colour: "third" },
  ], showDuration, true),
  new Chart("Servers and waiters", [
    { name: "servers in use", column: "active", colour: "first", area: true },
    { name: "clients waiting", column: "waiting", colour: "failed" },
  ], showNumber),
];

const matches = (...texts) => texts.join(" ").toLowerCase().includes(model.filter);
const keyOfPool = (pool) => JSON.stringify([pool.database, pool.user]);
const keyOfQuery = (row) => JSON.stringify([row.id, row.database, row.user, row.role]);

/** How much a counter of one thing has grown in a second; null where it was not there before. */
function rate(list, same, counter, item) {
  const earlier = model.before && model.before[list].find(same);
  const seconds = model.before ? model.moment.at - model.before.at : 0;
  return earlier && seconds > 0 ? Math.max(0, (item[counter] - earlier[counter]) / seconds) : null;
}

function showAll() {
  const { moment } = model;
  if (moment === null) return;
  showHead(moment);
  showTiles(moment);
  for (const chart of charts) chart.tell(model.points);
  showHosts(moment);
  showPools(moment);
  showWaiters(moment.waiters);
  showQueries(moment.queries);
  showEvents();
  showFeatures(moment.features);
}

function showHead({ proxy, paused }) {
  say(find("version"), `${proxy.version}${proxy.compiled ? "" : ", not compiled"}, up ${showSeconds(proxy.uptime_s)}`);
  const halted = proxy.stopping ? "The proxy is shutting down." : proxy.paused ? "The proxy is paused: RESUME ends it."
    : paused.length ? `Paused: ${paused.join(", ")}` : "";
  say(find("notice"), halted);
  find("notice").hidden = !halted;
}

/** How many requests are over a limit: refused, held back, or observed. A tile's name, text and kind. */
function tellLimits({ decided, degraded }) {
  const earlier = model.before && model.before.limits.decided;
  const seconds = model.before ? model.moment.at - model.before.at : 0;
  const perSecond = (...outcomes) => {
    const grown = outcomes.map((outcome) => Math.max(0, decided[outcome] - (earlier ? earlier[outcome] : 0)));
    return earlier && seconds > 0 ? grown.reduce((sum, number) => sum + number, 0) / seconds : null;
  };
  const over = perSecond("rejected", "delayed", "observed");
  const alarming = degraded || perSecond("rejected") > 0;
  return ["over limits/s", degraded ? `${showNumber(over)}, no Redis` : showNumber(over), alarming ? "warn" : ""];
}

function showTiles({ proxy, limits }) {
  const point = model.points[model.points.length - 1] || {};
  const clients = Object.values(proxy.clients).reduce((sum, number) => sum + number, 0) - (proxy.clients.console || 0);
  const tiles = [
    ["queries/s", showNumber(point.queries), ""],
    ["p95", showDuration(point.p95_us), ""],
    ["errors/s", showNumber(point.errors), point.errors > 0 ? "bad" : ""],
    ["clients", `${showNumber(clients)} / ${showNumber(proxy.max_client_conn)}`, clients >= 0.9 * proxy.max_client_conn ? "warn" : ""],
    ["clients waiting", showNumber(point.waiting), point.waiting > 0 ? "warn" : ""],
    ["wait p95", point.wait_p95_us < SHORTEST ? "none" : showDuration(point.wait_p95_us), ""],
    ["servers in use", showNumber(point.active), ""],
  ];
  if (Object.values(limits.decided).some(Boolean)) tiles.push(tellLimits(limits));
  const create = ([name]) => make("div", {}, make("dt", {}, name), make("dd"));
  arrange(find("tiles"), tiles, ([name]) => name, create, (tile, [, text, kind]) => {
    dress(tile, kind);
    say(tile.lastElementChild, text);
  });
  say(find("clients-node"), showNumber(clients));
  say(find("proxy-node"), `${showNumber(point.queries)} queries/s`);
}

function showHosts({ hosts, watched }) {
  const shown = hosts.filter((host) => matches(host.name, host.role, host.state, host.address));
  const create = () => make("li", { class: "host" }, make("div", { class: "head" }), make("div", { class: "facts" }));
  arrange(find("host-list"), shown, (host) => host.name, create, (item, host) => {
    const state = watched ? host.state : "not asked: there are no replicas";
    const head = [make("strong", {}, host.name), make("span", { class: "badge" }, watched ? host.role : "primary")];
    head.push(make("span", { class: `badge ${(watched && STATES[host.state]) || ""}` }, state));
    const facts = [host.address, `${host.servers} connections`];
    if (watched) {
      const reads = rate("hosts", (other) => other.name === host.name, "reads", host);
      if (host.role === "replica") facts.push(`lag ${host.lag_seconds === null ? "unknown" : showDuration(host.lag_seconds * 1e6)}, ${showBytes(host.lag_bytes)}`);
      facts.push(`${showNumber(reads)} reads/s`, `${host.active} running`, `latency ${showDuration(host.latency_s * 1e6)}`);
    }
    rewrite(item.firstElementChild, head);
    rewrite(item.lastElementChild, facts.map((fact) => make("span", {}, fact)));
  });
}

/** Put these into the element, unless they say what is there. */
function rewrite(element, children) {
  const said = children.map((child) => child.className + child.textContent).join("\n");
  if (element.said !== said) element.replaceChildren(...children);
  element.said = said;
}

function showPools({ pools, pools_left_out: left }) {
  const shown = pools.filter((pool) => matches(pool.database, pool.user, pool.mode, Object.keys(pool.pins)));
  say(find("pools-note"), left ? `${left} more are not shown` : "");
  find("pools-none").hidden = pools.length > 0;
  const create = () => {
    const row = makeRow(POOL_COLUMNS);
    row.bar = make("div", { class: "bar", role: "img" });
    row.figures = make("span", { class: "muted" });
    row.named.servers.append(row.bar, row.figures);
    return row;
  };
  arrange(find("pool-list"), shown, keyOfPool, create, (row, pool) => {
    const { named } = row;
    const there = pool.sv_active + pool.sv_idle + pool.sv_other;
    say(named.name, `${pool.database} / ${pool.user}`);
    named.name.title = `${pool.mode} pooling${pool.last_error ? `; ${pool.last_error}` : ""}`;
    paintBar(row.bar, [["first", pool.sv_active], ["second", pool.sv_other], ["idle", pool.sv_idle]], Math.max(pool.size, there));
    const said = `${pool.sv_active} in use, ${pool.sv_idle} idle, of ${pool.size}`;
    row.bar.setAttribute("aria-label", said);
    named.servers.title = said;
    const each = pool.hosts.map(({ host, active, size }) => `${host || "no host"} ${active} of ${size}`);
    say(row.figures, each.length > 1 ? each.join(", ") : `${pool.sv_active} of ${pool.size} in use`);
    say(named.clients, pool.cl_active + pool.cl_waiting);
    say(named.waiting, pool.cl_waiting);
    dress(named.waiting, pool.cl_waiting ? "number alarm" : "number");
    say(named.wait, pool.maxwait_us ? showDuration(pool.maxwait_us) : NOTHING);
    const same = (other) => keyOfPool(other) === keyOfPool(pool);
    say(named.queries, showNumber(rate("pools", same, "queries", pool)));
    say(named.errors, showNumber(rate("pools", same, "errors", pool)));
    say(named.pins, Object.entries(pool.pins).map(([reason, number]) => `${reason} ${number}`).join(", ") || NOTHING);
  });
}

function showWaiters(waiters) {
  find("waiters").hidden = !waiters.length;
  const create = () => make("li", {}, make("span"), make("span"), make("div", {}, make("span"), make("ul", { class: "holders" })));
  arrange(find("waiter-list"), waiters, (waiter) => String(waiter.client), create, (item, waiter) => {
    const [wait, host, told] = item.children;
    const [who, holders] = told.children;
    say(wait, showDuration(waiter.wait_us));
    say(host, waiter.host);
    const from = waiter.address ? `from ${waiter.address}` : "an errand of the proxy's own";
    say(who, `${waiter.application_name || "no application_name"}, ${waiter.user} on ${waiter.database}, ${from}`);
    rewrite(holders, waiter.holders.map(tellHolder));
  });
}

/** Somebody who has what another waits for. */
function tellHolder(holder) {
  const who = holder.client ? `${holder.application_name || "no application_name"} (client ${holder.client})` : "the proxy itself";
  const since = holder.state_us < holder.held_us ? ` for ${showDuration(holder.state_us)}` : "";
  const pins = holder.pins.length ? `, pinned: ${holder.pins.join(", ")}` : "";
  const facts = `held for ${showDuration(holder.held_us)} by ${who}, ${holder.state}${since}${pins}`;
  return make("li", {}, make("span", {}, facts), holder.statement ? make("code", {}, holder.statement) : null);
}

function showQueries(queries) {
  const rows = queries ? queries.lists[model.order].filter((row) => matches(row.text, row.database, row.user, row.role, row.patterns)) : [];
  say(find("queries-note"), queries ? `last 5 minutes, ${showNumber(queries.entries)} known` : "");
  find("queries-none").hidden = rows.length > 0;
  say(find("queries-none"), queries ? "None." : "Statements are not counted, or not yet looked up (query_stats.enabled).");
  const whole = queries ? queries.total_us : 0;
  const create = (row) => {
    const made = makeRow(QUERY_COLUMNS);
    made.button = make("button", { type: "button", class: "text", "aria-haspopup": "dialog" });
    made.patterns = make("span");
    made.button.disabled = !isId(row.id);
    made.button.addEventListener("click", () => { location.hash = `query/${row.id}`; });
    made.named.text.append(made.button, made.patterns);
    return made;
  };
  arrange(find("query-list"), rows, keyOfQuery, create, (made, row) => {
    const { named } = made;
    say(made.button, isId(row.id) ? row.text : "all others, which are no longer told apart");
    made.button.title = row.text;
    rewrite(made.patterns, row.patterns.split(" ").filter(Boolean).map((name) => make("span", { class: "badge warn" }, name.replaceAll("_", " "))));
    say(named.where, [row.database, row.user, row.role].filter(Boolean).join(" / ") || NOTHING);
    say(named.calls, showNumber(row.calls));
    say(named.mean, showDuration(row.mean_us));
    say(named.p95, showDuration(row.p95_us));
    say(named.max, showDuration(row.max_us));
    say(named.share, showShare(row.total_us, whole));
    say(named.wait, showShare(row.wait_us, row.total_us));
    say(named.errors, showNumber(row.errors));
    dress(named.errors, row.errors ? "number alarm" : "number spare");
  });
}

const isId = (text) => /^[0-9a-f]{16}$/.test(text);

function showEvents() {
  const describe = (event) => Object.entries(event.details).map(([name, value]) => `${name} ${value}`).join(", ");
  const shown = model.events.filter((event) => matches(event.kind, event.text, describe(event))).reverse().slice(0, 200);
  find("events-none").hidden = shown.length > 0;
  const create = (event) => make("li", {},
    make("time", { datetime: new Date(event.at * 1000).toISOString() }, showTime(event.at)),
    make("span", { class: `badge ${SERIOUS[event.level] || ""}` }, event.kind),
    make("div", {}, make("span", {}, event.text), " ", make("span", { class: "details" }, describe(event))));
  arrange(find("event-list"), shown, (event) => String(event.number), create, () => {});
}

function showFeatures(features) {
  const treated = features.filter((arm) => arm.name === "treated" && matches(arm.feature, arm.database, arm.user, arm.mode));
  find("features").hidden = !features.length;
  const create = () => make("li", {}, make("span"), make("span", { class: "badge" }), make("span"));
  arrange(find("feature-list"), treated, (arm) => JSON.stringify([arm.feature, arm.database, arm.user]), create, (item, arm) => {
    const [name, mode, facts] = item.children;
    say(name, arm.feature);
    say(mode, arm.percent < 100 && arm.mode !== "off" ? `${arm.mode}, ${arm.percent} %` : arm.mode);
    dress(mode, `badge ${{ on: "good", observe: "warn" }[arm.mode] || ""}`);
    say(facts, `${arm.user} on ${arm.database}, ${arm.sessions} sessions with it`);
  });
}
