// Lines over the last minutes, a value for each second.

const SPAN = 300; // seconds
const EDGE = { left: 52, right: 6, top: 8, bottom: 20 };

/** `lines`: {name, column, colour, area}; `log`: each decade has the same height. */
class Chart {
  constructor(title, lines, show, log = false) {
    Object.assign(this, { title, lines, show, log, points: [], cursor: null });
    this.when = make("span", { class: "muted" });
    this.values = lines.map(() => make("span"));
    const legend = lines.map((line, i) => make("span", { class: `series ${line.colour}` }, `${line.name} `, this.values[i]));
    this.caption = make("figcaption", {}, make("span", { class: "name" }, title, this.when), ...legend);
    this.picture = draw("svg", { "aria-hidden": "true" });
    this.element = make("figure", { class: "chart", tabindex: 0, role: "group", "aria-roledescription": "chart" });
    this.element.append(this.caption, this.picture);
    this.picture.addEventListener("pointermove", (event) => this.point(event));
    this.picture.addEventListener("pointerleave", () => this.move(null));
    this.element.addEventListener("keydown", (event) => this.press(event));
    this.element.addEventListener("blur", () => this.move(null));
    new ResizeObserver(() => this.paint()).observe(this.element);
  }

  tell(points) {
    this.points = points;
    this.paint();
  }

  paint() {
    const { width, height } = this.picture.getBoundingClientRect();
    if (width < 100) return;
    this.width = width - EDGE.left - EDGE.right;
    this.height = height - EDGE.top - EDGE.bottom;
    this.end = this.points.length ? this.points[this.points.length - 1].at : 0;
    const seen = this.points.flatMap((point) => this.lines.map((line) => point[line.column])).filter((v) => v !== null);
    const ticks = this.log ? chooseDecades(seen) : chooseSteps(seen);
    [this.least, this.most] = [ticks[0], ticks[ticks.length - 1]];
    this.picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const lines = this.lines.flatMap((line) => this.paintLine(line));
    this.picture.replaceChildren(...this.paintGrid(ticks), ...lines, ...this.paintCursor());
    this.read();
  }

  x(at) {
    return EDGE.left + this.width * (1 - (this.end - at) / SPAN);
  }

  y(value) {
    const scale = this.log ? (v) => Math.log10(Math.max(v, this.least)) : (v) => v;
    const share = (scale(value) - scale(this.least)) / (scale(this.most) - scale(this.least));
    return EDGE.top + this.height * (1 - share);
  }

  paintGrid(ticks) {
    const right = EDGE.left + this.width;
    const across = ticks.flatMap((tick) => [
      draw("line", { x1: EDGE.left, x2: right, y1: this.y(tick), y2: this.y(tick) }),
      draw("text", { x: EDGE.left - 6, y: this.y(tick) + 4, "text-anchor": "end" }, this.show(tick)),
    ]);
    const below = (this.width < 330 ? [0, 2, 4] : [0, 1, 2, 3, 4, 5]).map((minutes) => {
      const anchor = minutes === 0 ? "end" : "middle";
      const place = { x: this.x(this.end - minutes * 60), y: EDGE.top + this.height + 16, "text-anchor": anchor };
      return draw("text", place, minutes ? `−${minutes} min` : "now");
    });
    return [...across, ...below];
  }

  /** Seconds without a value part the line. */
  parts(column) {
    const found = [[]];
    let before = null;
    for (const point of this.points) {
      const parted = before !== null && (point.at - before.at > 3 || point[column] === null);
      if (parted) found.push([]);
      if (point[column] !== null && this.end - point.at <= SPAN) found[found.length - 1].push(point);
      before = point;
    }
    return found.filter((part) => part.length);
  }

  paintLine({ column, colour, area }) {
    return this.parts(column).flatMap((part) => {
      const steps = part.map((p) => `${this.x(p.at).toFixed(1)} ${this.y(p[column]).toFixed(1)}`);
      if (part.length === 1) steps.push(`${(this.x(part[0].at) - 1.5).toFixed(1)} ${this.y(part[0][column]).toFixed(1)}`);
      const path = draw("path", { class: colour, d: `M${steps.join("L")}` });
      if (!area) return [path];
      const base = EDGE.top + this.height;
      const [first, last] = [part[0], part[part.length - 1]].map((p) => this.x(p.at).toFixed(1));
      return [draw("path", { class: `area ${colour}`, d: `M${first} ${base}L${steps.join("L")}L${last} ${base}Z` }), path];
    });
  }

  paintCursor() {
    if (this.cursor === null) return [];
    const x = this.x(this.cursor);
    return [draw("line", { class: "cursor", x1: x, x2: x, y1: EDGE.top, y2: EDGE.top + this.height })];
  }

  /** What the legend says: the values at the cursor, or the latest. */
  read() {
    const found = this.cursor === null ? this.points[this.points.length - 1] : this.nearest(this.cursor);
    say(this.when, found && this.cursor !== null ? showTime(found.at) : "");
    this.lines.forEach((line, i) => say(this.values[i], found ? this.show(found[line.column]) : NOTHING));
    if (this.cursor === null) this.caption.removeAttribute("aria-live");
    const said = this.lines.map((line, i) => `${line.name} ${this.values[i].textContent}`).join(", ");
    this.element.setAttribute("aria-label", `${this.title}: ${said}`);
  }

  nearest(at) {
    return this.points.reduce((best, point) => (Math.abs(point.at - at) < Math.abs(best.at - at) ? point : best));
  }

  move(at) {
    this.cursor = at === null || !this.points.length ? null : this.nearest(at).at;
    this.paint();
  }

  point(event) {
    const x = event.clientX - this.picture.getBoundingClientRect().left;
    this.move(this.end - SPAN * (1 - (x - EDGE.left) / this.width));
  }

  press(event) {
    const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -30, PageDown: 30 }[event.key];
    if (step === undefined || !this.points.length) return;
    event.preventDefault();
    this.caption.setAttribute("aria-live", "polite");
    const last = this.points.length - 1;
    const place = this.cursor === null ? last : this.points.indexOf(this.nearest(this.cursor));
    this.move(this.points[Math.max(0, Math.min(last, place + step))].at);
  }
}

/** From 0, five ticks at most, whole numbers. */
function chooseSteps(values) {
  const most = Math.max(1, ...values);
  let step = 1;
  for (let turn = 0; step * 4 < most; turn += 1) step *= [2, 2.5, 2][turn % 3];
  return Array.from({ length: Math.ceil(most / step) + 1 }, (_, i) => i * step);
}

function chooseDecades(values) {
  const positive = values.filter((value) => value > 0);
  const low = Math.floor(Math.log10(positive.length ? Math.min(...positive) : 100));
  const high = Math.max(low + 1, Math.ceil(Math.log10(positive.length ? Math.max(...positive) : 10000)));
  return Array.from({ length: high - low + 1 }, (_, i) => 10 ** (low + i));
}
