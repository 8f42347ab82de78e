// Final values by group: a box for each group, every run as a point that tells what it is.

const BOX = { left: 62, right: 14, top: 46, height: 300 };
const STATES = ["diverged", "failed", "out_of_memory", "running", "submitted", "pending"];

function setUpBoxplot() {
  const host = document.getElementById("boxplot");
  if (!host || !DATA.boxes.length) return;
  const choice = document.getElementById("box-metric");
  const log = document.getElementById("box-log");
  let points = [];
  const current = () => DATA.boxes[choice.selectedIndex];
  const draw = () => { points = drawBoxplot(host, current(), log.checked); hideTip(); };
  DATA.boxes.forEach(box => choice.append(new Option(box.title)));
  choice.addEventListener("change", () => { log.checked = current().log; draw(); });
  log.addEventListener("change", draw);
  log.checked = current().log;
  drawOften(host, draw);
  followPointer(host, () => points);
  followKeys(host, () => points, current);
}

function drawBoxplot(host, box, log) {
  const values = box.values.map(read);
  const [low, high] = findLimits(values, log, box.cap);
  const groups = DATA.axis.labels.map((_, group) => summariseGroup(box, values, group, high));
  const isJudged = box.threshold !== null && box.threshold > low && box.threshold < high;
  const margins = { left: BOX.left, right: isJudged ? THRESHOLD_WIDTH : BOX.right };
  const layout = layOutGroups(host, margins, box.axis, groups.map(group => group.notes));
  const bottom = BOX.top + BOX.height;
  const svg = makeCanvas(host, layout.width, bottom + layout.below + 26, describeBoxplot(box));
  const y = makeScale(low, high, bottom, BOX.top, log);
  drawValueAxis(svg, y, { ...layout, top: BOX.top, title: box.axis, log });
  if (isJudged) drawThreshold(svg, svg, y(box.threshold), layout.left, layout.right, box.threshold);
  groups.forEach((group, i) => drawBox(svg, group.quantiles, i, layout, y));
  drawGroupLabels(svg, layout, bottom);
  return drawPoints(svg, box, values, layout, y);
}

function summariseGroup(box, values, group, high) {
  const { n, quantiles } = box.boxes[group];
  const notes = [`n = ${n}`];
  const members = DATA.runs.group.flatMap((g, i) => g === group ? [i] : []);
  const beyond = members.filter(i => Number.isFinite(values[i]) && values[i] > high).length;
  if (beyond) notes.push(`${beyond} above ${spell(high)}`);
  const counts = new Map();
  for (const i of members) {
    const state = DATA.runs.state[i];
    if (state !== "completed" && state !== "stopped") counts.set(state, (counts.get(state) || 0) + 1);
  }
  const place = state => STATES.includes(state) ? STATES.indexOf(state) : STATES.length;
  for (const [state, count] of [...counts].sort(([a], [b]) => place(a) - place(b)))
    notes.push(`${count} ${state.replaceAll("_", " ")}`);
  return { quantiles: quantiles.map(read), notes };
}

function describeBoxplot(box) {
  const parts = DATA.axis.labels.map((label, i) => {
    const { n, quantiles } = box.boxes[i];
    return n ? `${label}: median ${spell(read(quantiles[2]))} of ${n} runs` : `${label}: no result`;
  });
  return `Boxplots of the final ${box.title} by ${DATA.axis.title}. ${parts.join("; ")}.`;
}

function drawBox(svg, quantiles, group, layout, y) {
  if (quantiles.some(Number.isNaN)) return;
  // What is worse than the axis ends at its edge.
  const place = value => y(Math.min(y.high, Math.max(y.low, value)));
  const [least, q1, median, q3, most] = quantiles.map(place);
  const middle = findMiddle(layout, group);
  const half = layout.slot * 0.31;
  const style = `--colour: var(--g${group})`;
  svg.append(make("g", { class: "box", style },
    make("line", { x1: middle, x2: middle, y1: least, y2: q1 }),
    make("line", { x1: middle, x2: middle, y1: q3, y2: most }),
    make("line", { x1: middle - half / 2, x2: middle + half / 2, y1: least, y2: least }),
    make("line", { x1: middle - half / 2, x2: middle + half / 2, y1: most, y2: most }),
    make("rect", { x: middle - half, width: 2 * half, y: q3, height: Math.max(0.5, q1 - q3) }),
    make("line", { class: "median", x1: middle - half, x2: middle + half, y1: median, y2: median }),
  ));
}

// The points, in the order in which arrow keys reach them: by group, then by value.
function drawPoints(svg, box, values, layout, y) {
  const size = layout.slot < 40 || values.length > 400 ? 2.8 : 4;
  const points = [];
  values.forEach((value, run) => {
    if (Number.isNaN(value)) return;
    const group = DATA.runs.group[run];
    const px = findMiddle(layout, group) + layout.slot * DATA.runs.place[run];
    const py = y(Math.min(y.high, Math.max(y.low, value)));
    const kind = !Number.isFinite(value) ? "diverged" : value > y.high ? "beyond" : box.final[run] ? "final" : "so-far";
    const mark = drawMark(kind, px, py, size);
    mark.setAttribute("class", `point ${kind}`);
    mark.setAttribute("style", `--colour: var(--g${group})`);
    svg.append(mark);
    points.push({ run, group, value, kind, x: px, y: py, mark, title: box.title });
  });
  return points.sort((a, b) => a.group - b.group || a.value - b.value || a.run - b.run);
}

function drawMark(kind, x, y, size) {
  const s = size * 1.5;
  if (kind === "diverged")
    return make("path", { d: `M${x - s} ${y - s}L${x + s} ${y + s}M${x - s} ${y + s}L${x + s} ${y - s}` });
  if (kind === "beyond") return make("path", { d: `M${x} ${y - s}L${x + s} ${y + s}L${x - s} ${y + s}Z` });
  return make("circle", { cx: x, cy: y, r: size });
}

function tellPoint(host, points, point, options) {
  for (const other of points) {
    other.mark.classList.toggle("chosen", other === point);
    other.mark.classList.toggle("same-seed", other !== point && DATA.runs.seed[other.run] === DATA.runs.seed[point.run]);
  }
  const so = point.kind === "so-far" ? " so far" : "";
  const lines = [...describeRun(point.run), `${point.title}: ${spell(point.value)}${so}`,
    `${DATA.runs.state[point.run].replaceAll("_", " ")}, epoch ${DATA.runs.epoch[point.run]}`];
  showTip(lines, () => toScreen(host, point), options);
}

function clearPoints(points) {
  for (const point of points) point.mark.classList.remove("chosen", "same-seed");
  hideTip();
}

function followPointer(host, getPoints) {
  const find = event => {
    const { x, y, scale } = toPicture(host, event);
    let [nearest, least] = [null, 14 * scale];
    for (const point of getPoints()) {
      const far = Math.hypot(point.x - x, point.y - y);
      if (far < least) [nearest, least] = [point, far];
    }
    if (nearest) tellPoint(host, getPoints(), nearest);
    else clearPoints(getPoints());
  };
  host.addEventListener("pointermove", find);
  host.addEventListener("pointerdown", find);
  host.addEventListener("pointerleave", () => clearPoints(getPoints()));
}

function followKeys(host, getPoints, current) {
  let here = -1;
  host.addEventListener("keydown", event => {
    const points = getPoints();
    const next = findNextPoint(points, here, event.key);
    if (next === null || !points.length) return;
    event.preventDefault();
    here = next;
    points[here].mark.scrollIntoView({ block: "nearest", inline: "nearest" });
    tellPoint(host, points, points[here], { byKeys: true });
  });
  host.addEventListener("focus", () => { here = Math.min(here, getPoints().length - 1); });
  host.addEventListener("blur", () => clearPoints(getPoints()));
}

// Up and down go through the values of a group, left and right to the next group.
function findNextPoint(points, here, key) {
  const last = points.length - 1;
  if (key === "Home") return 0;
  if (key === "End") return last;
  if (!["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"].includes(key)) return null;
  if (here < 0) return 0;
  if (key === "ArrowUp") return Math.min(last, here + 1);
  if (key === "ArrowDown") return Math.max(0, here - 1);
  const step = key === "ArrowRight" ? 1 : -1;
  const groups = [...new Set(points.map(point => point.group))];
  const group = groups[groups.indexOf(points[here].group) + step];
  return group === undefined ? here : points.findIndex(point => point.group === group);
}
