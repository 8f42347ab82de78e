// How many runs of each group succeeded, with the interval of so few runs.

const RATE = { left: 62, right: 14, top: 46, height: 170 };

function setUpRates() {
  const host = document.getElementById("rates");
  if (!host || !DATA.rates.length) return;
  let shown = [];
  drawOften(host, () => { shown = drawRates(host); });
  host.addEventListener("pointermove", event => {
    const { x } = toPicture(host, event);
    const near = shown.find(one => Math.abs(one.x - x) < one.half);
    if (near) showTip(near.lines, () => [event.clientX, event.clientY]);
    else hideTip();
  });
  host.addEventListener("pointerleave", hideTip);
}

function drawRates(host) {
  const title = `${DATA.rate.title}, share of runs below ${DATA.rate.below}`;
  const notes = DATA.rates.map(rate => [rate.n ? `${rate.k} of ${rate.n}` : "no result"]);
  const layout = layOutGroups(host, RATE, title, notes);
  // Beside the boxes it is as high as they are.
  const bottom = RATE.top + (host.closest(".beside") ? BOX.height : RATE.height);
  const words = DATA.axis.labels.map((label, i) => `${label}: ${notes[i][0]}`).join("; ");
  const svg = makeCanvas(host, layout.width, bottom + layout.below + 26, `${title}. ${words}.`);
  const y = makeScale(0, 1, bottom, RATE.top, false);
  for (const share of [0, 0.25, 0.5, 0.75, 1]) {
    svg.append(
      make("line", { class: "grid", x1: layout.left, x2: layout.right, y1: y(share), y2: y(share) }),
      make("text", { class: "tick", x: layout.left - 7, y: y(share) + 4, "text-anchor": "end" }, `${100 * share} %`),
    );
  }
  svg.append(make("text", { class: "axis-title", x: 4, y: RATE.top - 16 }, title));
  drawGroupLabels(svg, layout, bottom);
  return DATA.rates.flatMap((rate, group) => rate.n ? [drawRate(svg, rate, group, layout, y)] : []);
}

function drawRate(svg, rate, group, layout, y) {
  const x = findMiddle(layout, group);
  const cap = Math.min(7, layout.slot / 4);
  svg.append(make("g", { class: "rate", style: `--colour: var(--g${group})` },
    make("line", { x1: x, x2: x, y1: y(rate.low), y2: y(rate.high) }),
    make("line", { x1: x - cap, x2: x + cap, y1: y(rate.low), y2: y(rate.low) }),
    make("line", { x1: x - cap, x2: x + cap, y1: y(rate.high), y2: y(rate.high) }),
    make("circle", { cx: x, cy: y(rate.rate), r: 5 }),
  ));
  const percent = share => `${Math.round(100 * share)} %`;
  return { x, y: y(rate.rate), half: layout.slot / 2, lines: [
    DATA.axis.labels[group], `${rate.k} of ${rate.n} runs: ${percent(rate.rate)}`,
    `95 % interval (Wilson): ${percent(rate.low)} to ${percent(rate.high)}`,
  ] };
}
