// Numbers for people.

const NOTHING = "–";

function showDuration(microseconds) {
  if (microseconds === null || microseconds === undefined) return NOTHING;
  if (microseconds < 1000) return `${Math.round(microseconds)} µs`;
  for (const [size, unit] of [[1e3, "ms"], [1e6, "s"]]) {
    const value = microseconds / size;
    if (value < (unit === "s" ? 120 : 1000)) return `${Number(value.toFixed(value < 9.95 ? 1 : 0))} ${unit}`;
  }
  return showSeconds(microseconds / 1e6);
}

function showSeconds(seconds) {
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

function showNumber(number) {
  if (number === null || number === undefined) return NOTHING;
  for (const [least, size, unit] of [[1e9, 1e9, "G"], [1e6, 1e6, "M"], [1e4, 1e3, "k"]]) {
    if (number >= least) return `${Number((number / size).toFixed(1))} ${unit}`;
  }
  return number >= 10 ? Math.round(number).toString() : Number(number.toFixed(1)).toString();
}

function showBytes(bytes) {
  for (const [size, unit] of [[2 ** 30, "GB"], [2 ** 20, "MB"], [2 ** 10, "kB"]]) {
    if (bytes >= size) return `${(bytes / size).toFixed(1)} ${unit}`;
  }
  return `${bytes} B`;
}

function showShare(part, whole) {
  if (!(whole > 0)) return NOTHING;
  const percent = (100 * part) / whole;
  return percent > 0 && percent < 0.1 ? "< 0.1 %" : `${Number(percent.toFixed(percent < 10 ? 1 : 0))} %`;
}

const showTime = (at) => new Date(at * 1000).toLocaleTimeString("en-GB");
