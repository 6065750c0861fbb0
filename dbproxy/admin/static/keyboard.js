// Keys, tabs, the filter; then it begins.

const SECTIONS = ["traffic", "hosts", "pools", "queries", "events", "features"];
const tabs = [...document.querySelectorAll("[role=tab]")];

function choose(tab) {
  for (const other of tabs) {
    other.setAttribute("aria-selected", String(other === tab));
    other.tabIndex = other === tab ? 0 : -1;
  }
  model.order = tab.dataset.order;
  showAll();
}

function chooseNext(step) {
  const place = tabs.findIndex((tab) => tab.dataset.order === model.order);
  const tab = tabs[(place + step + tabs.length) % tabs.length];
  choose(tab);
  return tab;
}

/** The statement that is so many further than the one at hand. */
function walk(step) {
  const buttons = [...document.querySelectorAll("#query-list .text:enabled")];
  const place = buttons.indexOf(document.activeElement);
  const next = place < 0 ? (step > 0 ? 0 : buttons.length - 1) : Math.max(0, Math.min(buttons.length - 1, place + step));
  buttons[next]?.focus();
}

function hold() {
  model.held = !model.held;
  find("pause").setAttribute("aria-pressed", String(model.held));
  say(find("pause"), model.held ? "Go on" : "Hold");
  showState(model.held ? "held" : "live", model.held ? "warn" : "good");
  if (!model.held) showAll();
}

function visit(name) {
  const section = find(name);
  if (section.hidden) return;
  find(`${name}-title`).focus({ preventScroll: true });
  section.scrollIntoView();
}

const KEYS = {
  "/": () => find("filter").focus(),
  "?": () => find("help").showModal(),
  j: () => walk(1),
  k: () => walk(-1),
  o: () => chooseNext(1),
  p: hold,
  ...Object.fromEntries(SECTIONS.map((name, i) => [String(i + 1), () => visit(name)])),
};

document.addEventListener("keydown", (event) => {
  const key = KEYS[event.key];
  const typing = event.target.matches("input") || document.querySelector("dialog[open]");
  if (!key || typing || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  key();
});

find("filter").addEventListener("input", () => {
  model.filter = find("filter").value.trim().toLowerCase();
  showAll();
});
find("filter").addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  find("filter").value = model.filter = "";
  find("filter").blur();
  showAll();
});
find("orders").addEventListener("click", (event) => event.target.matches("[role=tab]") && choose(event.target));
find("orders").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step) chooseNext(step).focus();
});
find("pause").addEventListener("click", hold);
find("ask").addEventListener("click", () => find("help").showModal());

find("charts").append(...charts.map((chart) => chart.element));
connect();
openStatement();
