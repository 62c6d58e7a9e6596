// Chooses mails of a list: all of the page with one click, and with Shift all between two. What is
// chosen stays so while the rows refresh themselves.

const all = document.getElementById("pick-all");
let chosen = new Set();
let last = null;

if (all) all.closest("label").hidden = false;

const picks = () => Array.from(document.querySelectorAll('input[name="m"]'));

all?.addEventListener("change", () => {
  for (const pick of picks()) pick.checked = all.checked;
});

document.addEventListener("click", (event) => {
  const pick = event.target;
  if (!pick.matches?.('input[name="m"]')) return;
  const every = picks();
  const [from, to] = [every.findIndex((one) => one.id === last), every.indexOf(pick)].sort((a, b) => a - b);
  if (event.shiftKey && from >= 0) {
    for (const between of every.slice(from, to)) between.checked = pick.checked;
  }
  last = pick.id;
  if (all) all.checked = every.every((one) => one.checked);
});

document.addEventListener("htmx:beforeSwap", (event) => {
  if (event.target.id === "rows") chosen = new Set(picks().filter((pick) => pick.checked).map((pick) => pick.id));
});

document.addEventListener("htmx:afterSwap", () => {
  for (const pick of picks()) if (chosen.has(pick.id)) pick.checked = true;
  chosen = new Set();
});
