// What stands beside the pointer, or beside the point that the keyboard has reached.

const tip = document.getElementById("tip");
const spoken = document.getElementById("spoken");

let follow = null;

// `at` gives the place in the window. What the keyboard has reached moves with the page; what the
// pointer left behind goes when the page does.
function showTip(lines, at, { byKeys = false } = {}) {
  tip.replaceChildren(...lines.map((line, number) => {
    const row = document.createElement("div");
    row.textContent = line;
    if (!number) row.className = "first";
    return row;
  }));
  tip.hidden = false;
  placeTip(at());
  follow = byKeys ? at : null;
  if (byKeys) spoken.textContent = lines.join(", ");
}

function placeTip([x, y]) {
  const box = tip.getBoundingClientRect();
  const left = x + 14 + box.width > innerWidth ? x - 14 - box.width : x + 14;
  const top = y + 14 + box.height > innerHeight ? y - 14 - box.height : y + 14;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, top)}px`;
}

function hideTip() {
  tip.hidden = true;
  follow = null;
}

document.addEventListener("keydown", event => { if (event.key === "Escape") hideTip(); });
document.addEventListener("scroll", () => follow ? placeTip(follow()) : hideTip(), { passive: true, capture: true });

function describeRun(index) {
  const runs = DATA.runs;
  return [runs.name[index], `group ${DATA.axis.labels[runs.group[index]]}, seed ${runs.seed[index]}`];
}
