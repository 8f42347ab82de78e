// Curves by epoch: medians with quartiles, single runs, zoom, log axis, smoothing, groups on and off.

const CURVE = { left: 62, right: 14, top: 46, height: 330, below: 48 };
const SMOOTHING = [1, 3, 5, 9, 15, 25];
const MAX_LINES_TOLD = 12;
const MAX_BANDS = 8; // more would hide the medians

function setUpCurves() {
  const host = document.getElementById("curves");
  if (!host || !DATA.curves.length) return;
  const state = { off: new Set(), zoom: null, cursor: -1, curve: null, series: [], scales: null };
  const inputs = Object.fromEntries(["metric", "log", "smooth", "runs"].map(
    name => [name, document.getElementById(`curve-${name}`)]));
  const draw = () => { drawCurves(host, state, inputs); hideTip(); };
  DATA.curves.forEach(curve => inputs.metric.append(new Option(curve.title)));
  const choose = () => {
    state.curve = unpackCurve(DATA.curves[inputs.metric.selectedIndex]);
    state.zoom = null;
    inputs.log.checked = state.curve.log;
    inputs.runs.disabled = !state.curve.runs.length;
    inputs.runs.checked = state.curve.runs.length > 0 && state.curve.showRuns;
  };
  inputs.metric.addEventListener("change", () => { choose(); draw(); });
  inputs.log.addEventListener("change", () => { state.zoom = null; draw(); });
  inputs.runs.addEventListener("change", draw);
  inputs.smooth.addEventListener("input", draw);
  choose();
  makeLegend(document.getElementById("curve-groups"), state, draw);
  drawOften(host, draw);
  followCurvePointer(host, state, draw);
  followCurveKeys(host, state, draw);
  for (const [name, factor] of [["in", 0.5], ["out", 2], ["reset", 0]])
    document.getElementById(`zoom-${name}`).addEventListener("click", () => { zoom(state, factor); draw(); });
}

function unpackCurve(curve) {
  const last = curve.epoch.length - 1;
  const runEpoch = Array.from({ length: Math.ceil(curve.epoch.length / curve.step) },
    (_, i) => curve.epoch[Math.min(i * curve.step + curve.step - 1, last)]);
  return {
    ...curve,
    groups: curve.groups.map(group => Object.fromEntries(
      Object.entries(group).map(([name, values]) => [name, values.map(read)]))),
    runs: curve.runs.map(run => ({ ...run, values: run.values.map(read), group: DATA.runs.group[run.run] })),
    runEpoch: curve.step === 1 ? curve.epoch : runEpoch,
  };
}

// Means over `width` neighbouring points; nothing is drawn where there was nothing.
function smooth(values, width) {
  if (width === 1) return values;
  const half = (width - 1) / 2;
  return values.map((value, i) => {
    if (!Number.isFinite(value)) return value;
    let [sum, count] = [0, 0];
    for (let j = Math.max(0, i - half); j <= Math.min(values.length - 1, i + half); j++)
      if (Number.isFinite(values[j])) { sum += values[j]; count++; }
    return sum / count;
  });
}

function drawCurves(host, state, inputs) {
  const { curve } = state;
  const log = inputs.log.checked;
  const size = SMOOTHING[inputs.smooth.value];
  document.getElementById("curve-smooth-words").textContent = size === 1 ? "off" : `${size * curve.window} epochs`;
  state.series = listSeries(state, size, inputs.runs.checked && curve.runs.length > 0);
  const width = Math.max(300, host.clientWidth);
  const right = width - (curve.threshold === null ? CURVE.right : THRESHOLD_WIDTH);
  const bottom = CURVE.top + CURVE.height;
  const [xs, ys] = state.zoom || findRange(state, log);
  const x = makeScale(xs[0], xs[1], CURVE.left, right, false);
  const y = makeScale(ys[0], ys[1], bottom, CURVE.top, log);
  state.scales = { x, y, right, bottom, log };
  const svg = makeCanvas(host, width, bottom + CURVE.below, describeCurves(state));
  drawValueAxis(svg, y, { ...CURVE, right, title: curve.axis, log, count: 7 });
  drawEpochAxis(svg, x, bottom, right, curve.window);
  svg.append(make("clipPath", { id: "inside" },
    make("rect", { x: CURVE.left, y: CURVE.top - 1, width: right - CURVE.left, height: CURVE.height + 2 })));
  const inside = make("g", { "clip-path": "url(#inside)" });
  svg.append(inside);
  if (curve.threshold !== null && curve.threshold > ys[0] && curve.threshold < ys[1])
    drawThreshold(inside, svg, y(curve.threshold), CURVE.left, right, curve.threshold);
  for (const one of state.series) drawSeries(inside, one, x, y, log);
  state.cursorLine = make("line", { class: "cursor", y1: CURVE.top, y2: bottom, visibility: "hidden" });
  state.frame = make("rect", { class: "frame", visibility: "hidden" });
  inside.append(state.cursorLine, state.frame);
}

// What is drawn, from the back to the front: quartiles, runs, medians.
function listSeries(state, size, withRuns) {
  const { curve, off } = state;
  const shown = curve.groups.map((group, i) => ({ group: i, ...group })).filter(one => !off.has(one.group));
  const bands = withRuns || shown.length > MAX_BANDS ? [] : shown.map(one => ({
    kind: "band", group: one.group, epoch: curve.epoch, low: smooth(one.low, size), high: smooth(one.high, size) }));
  const runs = withRuns ? curve.runs.filter(run => !off.has(run.group)).map(run => ({
    kind: "run", ...run, epoch: curve.runEpoch, values: smooth(run.values, size) })) : [];
  const medians = shown.map(one => ({
    kind: "median", group: one.group, epoch: curve.epoch, values: smooth(one.median, size) }));
  return [...bands, ...runs, ...medians];
}

// All epochs, and all values of what did not diverge: the last values of what did may be huge.
function findRange(state, log) {
  const { curve, series } = state;
  const ordinary = series.filter(one => !one.diverged);
  const values = ordinary.flatMap(one => one.kind === "band" ? [...one.low, ...one.high] : one.values);
  const last = curve.epoch[curve.epoch.length - 1] + (curve.window > 1 ? curve.window / 2 : 0);
  return [[0, Math.max(1, last)], findLimits(values, log, curve.cap)];
}

function describeCurves(state) {
  const { curve } = state;
  const ends = curve.groups.map((group, i) => {
    const known = group.median.filter(Number.isFinite);
    return `${DATA.axis.labels[i]}: ${known.length ? spell(known[known.length - 1]) : "no result"}`;
  });
  return `Curves of ${curve.title} by epoch. Medians at the end: ${ends.join("; ")}.`;
}

function drawEpochAxis(svg, x, bottom, right, window) {
  for (const tick of makeTicks(x.low, x.high, false, Math.max(3, (right - CURVE.left) / 90)))
    svg.append(
      make("line", { class: "grid", x1: x(tick), x2: x(tick), y1: bottom, y2: bottom + 5 }),
      make("text", { class: "tick", x: x(tick), y: bottom + 19, "text-anchor": "middle" }, spellTick(tick)),
    );
  const title = window > 1 ? `epoch (means over ${window} epochs)` : "epoch";
  svg.append(make("text", {
    class: "axis-title", x: (CURVE.left + right) / 2, y: bottom + 40, "text-anchor": "middle" }, title));
}

function drawSeries(svg, one, x, y, log) {
  const style = `--colour: var(--g${one.group}); --dash: var(--d${one.group})`;
  const usable = value => Number.isFinite(value) && (!log || value > 0);
  if (one.kind === "band") {
    const at = one.epoch.map((_, i) => i).filter(i => usable(one.low[i]) && usable(one.high[i]));
    if (at.length < 2) return;
    const up = at.map(i => `${round(x(one.epoch[i]))} ${round(y(one.high[i]))}`);
    const down = at.reverse().map(i => `${round(x(one.epoch[i]))} ${round(y(one.low[i]))}`);
    svg.append(make("path", { class: "band", style, d: `M${[...up, ...down].join("L")}Z` }));
    return;
  }
  const places = one.values.flatMap((value, i) => usable(value) ? [[round(x(one.epoch[i])), round(y(value))]] : []);
  if (!places.length) return;
  one.mark = make("path", { class: one.kind, style, d: `M${places.map(p => p.join(" ")).join("L")}` });
  svg.append(one.mark);
  if (!one.diverged) return;
  const [px, py] = places[places.length - 1];
  const cross = drawMark("diverged", px, Math.min(y(y.low), Math.max(y(y.high), py)), 3);
  cross.setAttribute("class", "point diverged");
  cross.setAttribute("style", style);
  svg.append(cross);
}

const round = value => Math.round(10 * value) / 10;

function makeLegend(place, state, draw) {
  const buttons = DATA.axis.labels.map((label, group) => {
    const button = document.createElement("button");
    const line = make("svg", { width: 30, height: 10, "aria-hidden": "true" },
      make("line", { class: "median", x1: 1, x2: 29, y1: 5, y2: 5, style: `--colour: var(--g${group}); --dash: var(--d${group})` }));
    button.type = "button";
    button.append(line, label);
    button.addEventListener("click", () => {
      state.off.has(group) ? state.off.delete(group) : state.off.add(group);
      show();
    });
    return button;
  });
  const show = () => {
    buttons.forEach((button, group) => button.setAttribute("aria-pressed", String(!state.off.has(group))));
    draw();
  };
  buttons.forEach(button => button.setAttribute("aria-pressed", "true"));
  const all = makeTextButton("all", () => { state.off.clear(); show(); });
  const none = makeTextButton("none", () => { DATA.axis.labels.forEach((_, i) => state.off.add(i)); show(); });
  place.append(...buttons, ...(buttons.length > 2 ? [all, none] : []));
}

function makeTextButton(words, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "plain";
  button.textContent = words;
  button.addEventListener("click", act);
  return button;
}

// Half or twice the range about its middle; 0 shows everything again.
function zoom(state, factor, middle = null) {
  if (!factor) { state.zoom = null; return; }
  const { x, y, log } = state.scales;
  const stretch = (scale, at, bend, unbend) => {
    const [low, high] = [bend(scale.low), bend(scale.high)];
    const centre = at === null ? (low + high) / 2 : bend(at);
    return [unbend(centre - (high - low) * factor / 2), unbend(centre + (high - low) * factor / 2)];
  };
  const same = value => value;
  const xs = stretch(x, middle, same, same).map(value => Math.max(0, value));
  state.zoom = [xs, log ? stretch(y, null, Math.log10, value => 10 ** value) : stretch(y, null, same, same)];
}

function findNearest(epochs, epoch) {
  let best = 0;
  for (let i = 1; i < epochs.length; i++)
    if (Math.abs(epochs[i] - epoch) < Math.abs(epochs[best] - epoch)) best = i;
  return best;
}

function findSeries(state, px, py) {
  const { x, y } = state.scales;
  let [nearest, least] = [null, 18];
  const places = new Map();
  for (const one of state.series) {
    if (!one.mark) continue;
    if (!places.has(one.epoch)) places.set(one.epoch, findNearest(one.epoch, x.invert(px)));
    const at = places.get(one.epoch);
    const far = Math.abs(y(one.values[at]) - py) - (one.kind === "median" ? 2 : 0);
    if (far < least) [nearest, least] = [{ one, at }, far];
  }
  return nearest;
}

function tellSeries(state, { one, at }, event) {
  for (const other of state.series) other.mark?.classList.toggle("chosen", other === one);
  const value = `${spell(one.values[at])} at epoch ${spell(one.epoch[at])}`;
  const first = one.kind === "run" ? describeRun(one.run) : [`median of group ${DATA.axis.labels[one.group]}`];
  const end = one.diverged ? ["diverged"] : [];
  showTip([...first, value, ...end], () => [event.clientX, event.clientY]);
}

function followCurvePointer(host, state, draw) {
  let start = null;
  const inPlot = place => place.x >= CURVE.left && place.x <= state.scales.right
    && place.y >= CURVE.top && place.y <= state.scales.bottom;
  host.addEventListener("pointerdown", event => {
    const place = toPicture(host, event);
    // A finger scrolls the page: it zooms with the buttons.
    if (event.pointerType === "touch" || event.button || !inPlot(place)) return;
    start = place;
    host.setPointerCapture(event.pointerId);
  });
  host.addEventListener("pointermove", event => {
    const place = toPicture(host, event);
    if (start) { drawFrame(state, start, place); hideTip(); return; }
    const near = inPlot(place) ? findSeries(state, place.x, place.y) : null;
    if (near) tellSeries(state, near, event);
    else { for (const one of state.series) one.mark?.classList.remove("chosen"); hideTip(); }
  });
  host.addEventListener("pointerup", event => {
    if (!start) return;
    const [from, to] = [start, toPicture(host, event)];
    start = null;
    state.frame.setAttribute("visibility", "hidden");
    if (Math.abs(to.x - from.x) < 8 || Math.abs(to.y - from.y) < 8) return;
    state.zoom = cutOut(state, from, to);
    draw();
  });
  host.addEventListener("pointerleave", hideTip);
  host.addEventListener("dblclick", () => { zoom(state, 0); draw(); });
}

function hold(state, place) {
  return {
    x: Math.min(state.scales.right, Math.max(CURVE.left, place.x)),
    y: Math.min(state.scales.bottom, Math.max(CURVE.top, place.y)),
  };
}

function drawFrame(state, from, to) {
  const end = hold(state, to);
  const place = { x: Math.min(from.x, end.x), y: Math.min(from.y, end.y),
    width: Math.abs(end.x - from.x), height: Math.abs(end.y - from.y), visibility: "visible" };
  for (const [key, value] of Object.entries(place)) state.frame.setAttribute(key, value);
}

function cutOut(state, from, to) {
  const { x, y } = state.scales;
  const end = hold(state, to);
  return [
    [x.invert(Math.min(from.x, end.x)), x.invert(Math.max(from.x, end.x))],
    [y.invert(Math.max(from.y, end.y)), y.invert(Math.min(from.y, end.y))],
  ];
}

// Left and right go through the epochs and tell all medians there; + and - zoom, 0 shows all.
function followCurveKeys(host, state, draw) {
  host.addEventListener("keydown", event => {
    const { epoch } = state.curve;
    const moves = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 };
    if (event.key in moves || event.key === "Home" || event.key === "End") {
      const next = event.key === "Home" ? 0 : event.key === "End" ? epoch.length - 1 : state.cursor + moves[event.key];
      state.cursor = Math.min(epoch.length - 1, Math.max(0, next));
      tellCursor(host, state);
    } else if (["+", "=", "-", "0"].includes(event.key) && !event.ctrlKey && !event.metaKey) {
      zoom(state, { "+": 0.5, "=": 0.5, "-": 2, 0: 0 }[event.key], state.cursor < 0 ? null : epoch[state.cursor]);
      draw();
    } else return;
    event.preventDefault();
  });
  host.addEventListener("blur", () => { state.cursorLine?.setAttribute("visibility", "hidden"); hideTip(); });
}

function tellCursor(host, state) {
  const { curve, cursor, scales, cursorLine } = state;
  const x = scales.x(curve.epoch[cursor]);
  for (const [key, value] of Object.entries({ x1: x, x2: x, visibility: "visible" })) cursorLine.setAttribute(key, value);
  const medians = state.series.filter(one => one.kind === "median");
  const lines = medians.slice(0, MAX_LINES_TOLD).map(one => `${DATA.axis.labels[one.group]}: ${spell(one.values[cursor])}`);
  if (medians.length > MAX_LINES_TOLD) lines.push(`and ${medians.length - MAX_LINES_TOLD} more groups`);
  const at = () => toScreen(host, { x, y: CURVE.top });
  showTip([`epoch ${spell(curve.epoch[cursor])}, medians`, ...lines], at, { byKeys: true });
}
