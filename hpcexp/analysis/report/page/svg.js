// Numbers, scales and SVG elements: what all charts stand on.

const SVG = "http://www.w3.org/2000/svg";
const DATA = JSON.parse(document.getElementById("data").textContent);

function make(name, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// Infinity is written as text, as JSON has none; a missing value is null.
function read(value) {
  if (value === null) return NaN;
  return value === "inf" ? Infinity : value === "-inf" ? -Infinity : value;
}

function spell(value) {
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return "diverged";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 1e5 || size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(3)));
}

function spellTick(value) {
  const size = Math.abs(value);
  if (value !== 0 && (size >= 1e6 || size < 1e-4)) return value.toExponential(0);
  return String(Number(value.toPrecision(6)));
}

function makeScale(low, high, from, to, log) {
  const bend = log ? Math.log10 : value => value;
  const unbend = log ? value => 10 ** value : value => value;
  const [a, b] = [bend(low), bend(high)];
  const scale = value => from + (to - from) * (bend(value) - a) / (b - a);
  scale.invert = place => unbend(a + (b - a) * (place - from) / (to - from));
  scale.low = low;
  scale.high = high;
  return scale;
}

function makeTicks(low, high, log, count) {
  if (!log) return makeLinearTicks(low, high, count);
  const decades = Math.log10(high / low);
  if (decades < 0.7) return makeLinearTicks(low, high, count).filter(tick => tick > 0);
  const every = Math.max(1, Math.ceil(decades / count));
  const fine = decades <= 2.2 ? [1, 2, 5] : [1];
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++)
    if (power % every === 0) ticks.push(...fine.map(digit => digit * 10 ** power));
  return ticks.filter(tick => tick >= low * 0.999 && tick <= high * 1.001);
}

function makeLinearTicks(low, high, count) {
  const rough = (high - low) / Math.max(1, count);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find(factor => factor * power >= rough) || 10);
  const ticks = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high * (1 + 1e-9) + 1e-12; i++)
    ticks.push(Number((i * step).toPrecision(12)));
  return ticks;
}

// Room for 6 % beyond the values; from 0 where none is negative.
function findLimits(values, log, cap) {
  if (cap && !log) return [0, cap];
  const usable = values.filter(value => Number.isFinite(value) && (!log || value > 0));
  if (!usable.length) return log ? [0.1, 1] : [0, 1];
  let low = Infinity, high = -Infinity;
  for (const value of usable) { low = Math.min(low, value); high = Math.max(high, value); }
  if (cap) high = Math.min(high, cap);
  if (log) {
    if (high <= low) return [low / 2, high * 2];
    const margin = (high / low) ** 0.06;
    return [low / margin, cap ? high : high * margin];
  }
  const span = high - Math.min(low, 0) || 1;
  return [low >= 0 ? 0 : low - 0.06 * span, high + 0.06 * span];
}

const ruler = document.createElement("canvas").getContext("2d");

function measure(text, size = 12.5) {
  ruler.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
  return ruler.measureText(text).width;
}

// The value axis at the left with its lines across, and what it shows above it.
function drawValueAxis(svg, scale, { left, right, top, title, log, count = 6 }) {
  for (const tick of makeTicks(scale.low, scale.high, log, count)) {
    const y = scale(tick);
    svg.append(
      make("line", { class: "grid", x1: left, x2: right, y1: y, y2: y }),
      make("text", { class: "tick", x: left - 7, y: y + 4, "text-anchor": "end" }, spellTick(tick)),
    );
  }
  svg.append(make("text", { class: "axis-title", x: 4, y: top - 16 }, title));
}

// A dashed line, named right of the chart, where no point hides its name.
function drawThreshold(svg, names, y, left, right, value) {
  svg.append(make("line", { class: "threshold", x1: left, x2: right, y1: y, y2: y }));
  names.append(
    make("text", { class: "note", x: right + 5, y: y - 2 }, "success"),
    make("text", { class: "note", x: right + 5, y: y + 11 }, `< ${value}`),
  );
}

const THRESHOLD_WIDTH = 56;

// Labels of groups below a chart: side by side where there is room, else slanted, with room at
// the left for the first ones. The picture is at least as wide as its title.
const SLANT = 50 * Math.PI / 180;

function layOutGroups(host, { left, right }, title, notes) {
  const labels = DATA.axis.labels;
  const room = Math.max(280, host.clientWidth);
  const share = from => Math.min(150, Math.max(24, (room - from - right) / labels.length));
  const widest = Math.max(...labels.map(label => measure(label)), ...notes.flat().map(note => measure(note, 12)));
  const slanted = widest > share(left) - 6;
  const words = labels.map((label, i) => slanted ? `${label}  (${notes[i].join(", ")})` : label);
  if (slanted) left = Math.max(left, ...words.map(
    (text, i) => Math.cos(SLANT) * measure(text) - share(left) * (i + 0.4)));
  const slot = share(left);
  const end = left + slot * labels.length;
  const below = slanted ? 24 + Math.sin(SLANT) * Math.max(...words.map(text => measure(text)))
    : 24 + 15 * Math.max(...notes.map(lines => lines.length));
  return { left, right: end, slot, slanted, words, notes, below, width: Math.max(end + right, 10 + measure(title, 13.5)) };
}

function findMiddle(layout, group) {
  return layout.left + layout.slot * (group + 0.5);
}

function drawGroupLabels(svg, layout, bottom) {
  layout.words.forEach((words, group) => {
    const x = findMiddle(layout, group);
    if (layout.slanted) {
      const turn = `rotate(-50 ${x} ${bottom + 14})`;
      svg.append(make("text", { class: "tick", x, y: bottom + 14, "text-anchor": "end", transform: turn }, words));
      return;
    }
    [words, ...layout.notes[group]].forEach((line, number) => svg.append(make("text", {
      class: number ? "note" : "tick", x, y: bottom + 19 + 15 * number, "text-anchor": "middle",
    }, line)));
  });
  svg.append(make("text", {
    class: "axis-title", x: (layout.left + layout.right) / 2, y: bottom + layout.below + 20, "text-anchor": "middle",
  }, DATA.axis.title));
}

// As a chart is drawn anew, its old content goes; a screen reader keeps its place.
function makeCanvas(host, width, height, label) {
  const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": label });
  host.querySelector("svg")?.remove();
  host.prepend(svg);
  return svg;
}

// Where an event is, in the units of a chart's own picture, and how many of them a pixel has.
function toPicture(host, event) {
  const svg = host.querySelector("svg");
  const box = svg.getBoundingClientRect();
  const scale = svg.viewBox.baseVal.width / box.width;
  return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale, scale };
}

function toScreen(host, point) {
  const svg = host.querySelector("svg");
  const box = svg.getBoundingClientRect();
  const scale = box.width / svg.viewBox.baseVal.width;
  return [box.left + point.x * scale, box.top + point.y * scale];
}

// Draw now, and again whenever the width of the chart's place changes.
function drawOften(host, draw) {
  let width = host.clientWidth;
  draw();
  new ResizeObserver(() => {
    if (Math.abs(host.clientWidth - width) < 2) return;
    width = host.clientWidth;
    draw();
  }).observe(host);
}
