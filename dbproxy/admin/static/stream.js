// What the proxy tells, by server-sent events. They are read by fetch, since EventSource sends no token.

const SILENCE = 5000; // milliseconds without news: the line is dead
const HIDDEN = 60000; // milliseconds until a page that nobody sees leaves its place to others
const KEPT = { points: 300, events: 400 };
const line = { abort: null, heard: 0, pause: 500, away: null };

const headers = () => {
  const token = sessionStorage.getItem("dbproxy-token");
  return token ? { Authorization: `Bearer ${token}` } : {};
};

/** JSON of this proxy; null if there is none. */
async function ask(path) {
  try {
    const answer = await fetch(path, { headers: headers() });
    return answer.ok ? await answer.json() : null;
  } catch {
    return null;
  }
}

function showState(text, kind) {
  say(find("state"), text);
  dress(find("state"), `badge ${kind}`);
}

async function connect() {
  line.abort = new AbortController();
  line.heard = Date.now();
  let reason = "the proxy does not answer";
  try {
    const answer = await fetch("/events", { headers: headers(), signal: line.abort.signal, cache: "no-store" });
    if (answer.status === 401) {
      askToken();
      return;
    }
    if (answer.ok) await listen(answer.body.pipeThrough(new TextDecoderStream()).getReader());
    else reason = (await answer.text()).trim();
  } catch {
    // as if it had ended
  }
  if (line.away === "left") return;
  showState(reason, "bad");
  setTimeout(connect, line.pause);
  line.pause = Math.min(5000, line.pause * 2);
}

async function listen(reader) {
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    line.heard = Date.now();
    line.pause = 500;
    const messages = (text + value).split("\n\n");
    text = messages.pop();
    messages.forEach(take);
  }
}

function take(message) {
  const [, name, data] = /^event: (\w+)\ndata: (.*)$/s.exec(message);
  const { points, events, ...moment } = JSON.parse(data);
  const rows = points.map((values) => Object.fromEntries(values.map((value, i) => [moment.columns[i], value])));
  const fresh = name === "whole";
  model.points = (fresh ? rows : [...model.points, ...rows]).slice(-KEPT.points);
  model.events = (fresh ? events : [...model.events, ...events]).slice(-KEPT.events);
  model.before = fresh ? null : model.moment;
  model.moment = moment;
  showState(model.held ? "held" : "live", model.held ? "warn" : "good");
  if (!model.held && !document.hidden) showAll();
}

function askToken() {
  showState("a token is needed", "warn");
  if (!find("login").open) find("login").showModal();
}

find("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("dbproxy-token", find("token").value.trim());
  find("token").value = "";
  find("login").close();
  connect();
});

setInterval(() => {
  if (Date.now() - line.heard > SILENCE) line.abort?.abort();
}, 1000);

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    line.away = setTimeout(() => { line.away = "left"; line.abort?.abort(); }, HIDDEN);
    return;
  }
  const left = line.away === "left";
  clearTimeout(line.away);
  line.away = null;
  if (left) connect();
  else if (!model.held) showAll();
});
