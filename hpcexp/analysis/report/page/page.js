// The page around the charts: colours, copying, sorting, animations, printing.

function setUpTheme() {
  const button = document.getElementById("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme || (dark.matches ? "dark" : "light")) === "dark";
  const show = () => {
    button.textContent = isDark() ? "light page" : "dark page";
    button.setAttribute("aria-label", `change to a ${isDark() ? "light" : "dark"} page`);
  };
  // A page that was opened from the disk may not be allowed to remember anything.
  try { root.dataset.theme = localStorage.getItem("hpcexp-theme") || ""; } catch { /* not kept */ }
  button.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try { localStorage.setItem("hpcexp-theme", root.dataset.theme); } catch { /* not kept */ }
    show();
  });
  dark.addEventListener("change", show);
  show();
}

function setUpCopying() {
  for (const code of document.querySelectorAll("code.command")) {
    const button = makeTextButton("copy", async () => {
      button.textContent = await copy(code) ? "copied" : "select and copy";
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    });
    button.setAttribute("aria-label", `copy ${code.textContent}`);
    code.after(button);
  }
}

async function copy(code) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    return true;
  } catch {
    getSelection().selectAllChildren(code);
    return false;
  }
}

// A click on a heading sorts by it: numbers by size, all else by letters.
function setUpSorting() {
  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = makeTextButton(head.textContent, () => sortTable(table, heads, column));
      head.replaceChildren(button);
    });
  }
}

function sortTable(table, heads, column) {
  const up = heads[column].getAttribute("aria-sort") !== "ascending";
  const key = row => {
    const text = row.cells[column].textContent.trim();
    const number = parseFloat(text.replace("< ", "").replace("−", "-"));
    return [Number.isNaN(number) ? (text ? Infinity : -Infinity) : number, text];
  };
  const rows = [...table.tBodies[0].rows].map(row => [key(row), row]);
  rows.sort(([a], [b]) => (a[0] === b[0] ? a[1].localeCompare(b[1]) : a[0] - b[0]) * (up ? 1 : -1));
  table.tBodies[0].append(...rows.map(([, row]) => row));
  for (const head of heads) head.removeAttribute("aria-sort");
  heads[column].setAttribute("aria-sort", up ? "ascending" : "descending");
}

// Animations stand still until somebody wants to see them move.
function setUpAnimations() {
  for (const button of document.querySelectorAll("button.play")) {
    const image = button.parentElement.querySelector("img");
    const still = image.src;
    button.addEventListener("click", () => {
      const plays = button.getAttribute("aria-pressed") === "true";
      image.src = plays ? still : image.dataset.animation;
      button.setAttribute("aria-pressed", String(!plays));
      button.textContent = plays ? "▶ play" : "■ stop";
    });
  }
}

// On paper nothing can be opened: what is folded away on the screen is printed, but not what is long.
function setUpPrinting() {
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open]):not(.long)")];
    for (const one of opened) one.open = true;
    hideTip();
  });
  addEventListener("afterprint", () => { for (const one of opened) one.open = false; });
}

setUpTheme();
setUpCopying();
setUpSorting();
setUpAnimations();
setUpPrinting();
setUpBoxplot();
setUpRates();
setUpCurves();
document.documentElement.dataset.ready = "yes";
