"use strict";
// Elements. Whatever comes from outside gets in as text (textContent, append of a string), never as markup.

const SVG = "http://www.w3.org/2000/svg";
const find = (id) => document.getElementById(id);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Change what it says only where that is something else, so that selections and screen readers are left in peace. */
function say(element, text) {
  const said = String(text);
  if (element.textContent !== said) element.textContent = said;
}

function dress(element, names) {
  if (element.className !== names) element.className = names;
}

/** Have one child of `parent` for each item, in order. Those that stay are the same elements: they keep the focus. */
function arrange(parent, items, keyOf, create, update) {
  const before = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  const wanted = new Set(items.map(keyOf));
  for (const [key, child] of before) if (!wanted.has(key)) child.remove();
  let place = parent.firstElementChild;
  for (const item of items) {
    const key = keyOf(item);
    let child = before.get(key);
    if (child === undefined) {
      child = create(item);
      child.dataset.key = key;
    }
    if (child === place) {
      place = place.nextElementSibling;
    } else {
      const focused = child.contains(document.activeElement) ? document.activeElement : null;
      parent.insertBefore(child, place);
      if (focused !== null) focused.focus({ preventScroll: true });
    }
    update(child, item);
  }
}

/** A row whose cells are found by name; each has a label for narrow screens. `columns`: name, label, class. */
function makeRow(columns) {
  const row = make("tr");
  row.named = {};
  for (const [name, label, kind] of columns) {
    row.named[name] = make("td", { class: kind, "data-label": label });
    row.append(row.named[name]);
  }
  return row;
}

/** The parts of a whole side by side: [class, amount]. */
function paintBar(bar, parts, whole) {
  if (bar.children.length !== parts.length) bar.replaceChildren(...parts.map(() => make("i")));
  parts.forEach(([kind, amount], i) => {
    dress(bar.children[i], kind);
    bar.children[i].style.width = `${whole > 0 ? (100 * amount) / whole : 0}%`;
  });
}
