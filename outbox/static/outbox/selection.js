// Selects messages of a list: all on the page with one click, and with Shift all between two clicks.
// The selection stays while the rows are refreshed.

const all = document.getElementById("pick-all");
let selected = new Set();
let last = null;

if (all) all.closest("label").hidden = false;

const boxes = () => Array.from(document.querySelectorAll("input.row-pick"));

all?.addEventListener("change", () => {
  for (const box of boxes()) box.checked = all.checked;
});

document.addEventListener("click", (event) => {
  const box = event.target;
  if (!box.matches?.("input.row-pick")) return;
  const every = boxes();
  const [from, to] = [every.findIndex((one) => one.id === last), every.indexOf(box)].sort((a, b) => a - b);
  if (event.shiftKey && from >= 0) {
    for (const between of every.slice(from, to)) between.checked = box.checked;
  }
  last = box.id;
  if (all) all.checked = every.every((one) => one.checked);
});

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.target.id === "rows") selected = new Set(boxes().filter((box) => box.checked).map((box) => box.id));
});

document.addEventListener("htmx:afterSwap", () => {
  for (const box of boxes()) if (selected.has(box.id)) box.checked = true;
  selected = new Set();
});
