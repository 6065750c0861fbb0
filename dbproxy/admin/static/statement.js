// One statement, from /metrics/queries/ID and /plans/ID: its histogram, its windows, where it ran, its plan.

const BARS = 48;
const opened = find("statement");

/** What `#query/ID` asks for. */
async function openStatement() {
  const id = location.hash.slice("#query/".length);
  if (!location.hash.startsWith("#query/") || !isId(id)) {
    opened.close();
    return;
  }
  const body = find("statement-body");
  body.replaceChildren(make("p", { class: "muted" }, "looking it up"));
  if (!opened.open) opened.showModal();
  const [found, told] = await Promise.all([ask(`/metrics/queries/${id}`), ask(`/plans/${id}`)]);
  if (location.hash !== `#query/${id}`) return;
  if (found === null || !found.queries.length) {
    body.replaceChildren(make("p", { class: "notice" }, "This statement is not known any more: it was not used for long, or the figures were reset."));
    return;
  }
  body.replaceChildren(make("pre", { tabindex: 0 }, found.queries[0].text), ...found.queries.flatMap(showEntry), ...showPlan(told && told.plan));
}

function showEntry(entry) {
  const where = [entry.database, entry.user, entry.role].filter(Boolean).join(" / ");
  const facts = [
    `tables ${entry.tables.join(", ") || NOTHING}`, `first seen ${showSeconds(entry.seen.first_s_ago)} ago`,
    `last ${showSeconds(entry.seen.last_s_ago)} ago`, entry.states && `errors ${entry.states}`,
  ].filter(Boolean);
  return [
    make("h3", {}, where, " ", make("code", { class: "muted" }, entry.id)),
    make("p", { class: "details" }, facts.join("; ")),
    ...showHabits(entry.habits),
    ...showParts(entry),
    paintHistogram(entry.histogram),
    showWindows(entry.windows),
  ];
}

function showHabits(habits) {
  const found = [
    habits.loops && `In ${habits.loops} transactions it ran 20 times or more, one after the other (up to ${habits.longest_loop}): one statement for all of them would do.`,
    habits.lone_reads && `${habits.lone_reads} read-write transactions did nothing but read: a replica could have answered.`,
    habits.idle_count && `Behind it a transaction was open and asked nothing, ${habits.idle_count} times, for ${showDuration(habits.longest_idle_us)} at most.`,
    habits.texts && "It comes with ever new literals: parameters would do.",
    habits.large_results && `It has no LIMIT, and ${habits.large_results} times more than 10,000 rows came, ${habits.largest_result} at most.`,
  ].filter(Boolean);
  return found.length ? [make("ul", { class: "notice" }, ...found.map((text) => make("li", {}, text)))] : [];
}

/** Where its time went. */
function showParts(entry) {
  const parts = [["first", entry.run_us, "run"], ["failed", entry.wait_us, "waited for a server"], ["second", entry.stall_us, "its client did not read"]];
  const bar = make("div", { class: "bar", "aria-hidden": "true" });
  paintBar(bar, parts, entry.total_us);
  const legend = parts.map(([kind, part, name]) => make("span", { class: `series ${kind}` }, `${name} ${showDuration(part)} (${showShare(part, entry.total_us)})`));
  return [make("div", { class: "parts" }, ...legend), bar];
}

/** Calls by duration; each decade is as wide as the others. */
function paintHistogram(buckets) {
  const [width, height, bottom] = [Math.max(240, find("statement-body").clientWidth), 170, 22];
  const place = (us) => Math.log10(Math.max(1, us));
  const low = Math.floor(Math.min(...buckets.map((bucket) => place(bucket.us))));
  const high = Math.max(low + 1, Math.ceil(Math.max(...buckets.map((bucket) => place(bucket.us))) + 0.001));
  const bars = new Array(BARS).fill(0);
  for (const { us, calls } of buckets) bars[Math.min(BARS - 1, Math.floor((BARS * (place(us) - low)) / (high - low)))] += calls;
  const most = Math.max(1, ...bars);
  const calls = bars.reduce((sum, number) => sum + number, 0);
  const picture = draw("svg", { class: "histogram", viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": `Histogram of ${calls} calls since the last reset, from ${showDuration(10 ** low)} to ${showDuration(10 ** high)}` });
  bars.forEach((number, i) => {
    const tall = number ? Math.max(1.5, (number / most) * (height - bottom - 4)) : 0;
    const bar = draw("rect", { x: (i * width) / BARS + 1, width: width / BARS - 2, y: height - bottom - tall, height: tall });
    const from = 10 ** (low + (i * (high - low)) / BARS);
    bar.append(draw("title", {}, `from ${showDuration(from)} on: ${number}`));
    picture.append(bar);
  });
  picture.append(draw("line", { x1: 0, x2: width, y1: height - bottom, y2: height - bottom }));
  for (let decade = low; decade <= high; decade += 1) {
    const anchor = decade === low ? "start" : decade === high ? "end" : "middle";
    const x = (width * (decade - low)) / (high - low);
    picture.append(draw("text", { x, y: height - 6, "text-anchor": anchor }, showDuration(10 ** decade)));
  }
  return picture;
}

function showWindows(windows) {
  const columns = [
    ["calls", (w) => showNumber(w.calls)], ["rows", (w) => showNumber(w.rows)], ["errors", (w) => showNumber(w.errors)],
    ["mean", (w) => showDuration(w.mean_us)], ["p50", (w) => showDuration(w.p50_us)], ["p95", (w) => showDuration(w.p95_us)],
    ["p99", (w) => showDuration(w.p99_us)], ["max", (w) => showDuration(w.max_us)],
  ];
  const head = make("tr", {}, make("th", { scope: "col" }, "window"), ...columns.map(([name]) => make("th", { scope: "col", class: "number" }, name)));
  const rows = Object.entries(windows).map(([name, counts]) => {
    const title = name === "reset" ? `since reset (${showSeconds(counts.window_s)})` : name;
    return make("tr", {}, make("td", {}, title), ...columns.map(([label, show]) => make("td", { class: "number", "data-label": label }, counts.calls ? show(counts) : NOTHING)));
  });
  return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows)));
}

function showPlan(plan) {
  if (plan === null) return [make("p", { class: "muted" }, "No plan: the log has told none (slow_query.explain).")];
  return [make("h3", {}, `Plan, at ${showTime(plan.at)}, ${plan.user} on ${plan.database}`), make("pre", { tabindex: 0 }, plan.text)];
}

opened.addEventListener("close", () => {
  if (location.hash.startsWith("#query/")) history.replaceState(null, "", location.pathname);
});
window.addEventListener("hashchange", openStatement);
