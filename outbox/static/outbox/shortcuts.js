// Single-key shortcuts. Most are declared in the markup: an element with aria-keyshortcuts is clicked,
// or focused if it is a field. The user can turn them off (WCAG 2.1.4): then the page has neither this
// script nor those attributes.

const MOVES = { j: 1, k: -1 };
const ACTIONS = { o: open, x: select, u: goToList };

document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.isComposing || event.ctrlKey || event.altKey || event.metaKey) return;
  if (isTyping(event.target) || document.querySelector("dialog[open], [popover]:popover-open")) return;
  const isDone = event.key in MOVES && move(MOVES[event.key]) ? true
    : event.repeat ? false
      : Object.hasOwn(ACTIONS, event.key) ? ACTIONS[event.key]() : press(event.key);
  if (isDone) event.preventDefault();
});

// Keys typed into a field, a select or the editor are not shortcuts.
function isTyping(element) {
  return element.isContentEditable || element.matches("textarea, select, iframe, input:not([type=checkbox], [type=radio])");
}

function press(key) {
  const named = Array.from(document.querySelectorAll("[aria-keyshortcuts]"));
  const element = named.find((one) => one.getAttribute("aria-keyshortcuts") === key);
  if (!element) return key === "/" && search();
  if (element.matches("input")) {
    element.focus();
    element.select();
  } else {
    element.click();
  }
  return true;
}

function search() {
  location.assign(document.body.dataset.search);
  return true;
}

const links = () => Array.from(document.querySelectorAll("main .row-link"));
const current = () => document.activeElement?.closest("main .row, main .card-row")?.querySelector(".row-link");

function move(step) {
  const rows = links();
  if (!rows.length) return false;
  const at = rows.indexOf(current());
  const next = at < 0 ? (step > 0 ? 0 : rows.length - 1) : Math.min(Math.max(at + step, 0), rows.length - 1);
  rows[next].focus();
  return true;
}

function open() {
  const link = current();
  link?.click();
  return Boolean(link);
}

function select() {
  const box = current()?.closest(".row")?.querySelector(".row-pick");
  box?.click();
  return Boolean(box);
}

function goToList() {
  const folder = document.querySelector(".folders [aria-current]") ?? document.querySelector(".folders a");
  folder?.click();
  return Boolean(folder);
}
