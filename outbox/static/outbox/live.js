// Keeps a page stable while htmx refreshes parts of it: open details and selections stay, a hidden tab
// does not poll, the changed status is announced, and a warning says when the site does not respond.

const POLLED = "#live, #rows";
const REPLACED = "#live, #rows, #attempts, #timeline"; // by one response

let openDetails = new Map();

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.matches(POLLED) && document.hidden) event.preventDefault();
});

document.addEventListener("htmx:beforeSwap", (event) => {
  if (!event.target.matches(POLLED)) return;
  const selection = document.getSelection();
  // A swap would clear the selection. The next poll brings the same content.
  const isSelected = (part) => selection.containsNode(part, true);
  if (!selection.isCollapsed && Array.from(document.querySelectorAll(REPLACED)).some(isSelected)) event.detail.shouldSwap = false;
  openDetails = new Map(Array.from(document.querySelectorAll("details[id]"), (one) => [one.id, one.open]));
});

document.addEventListener("htmx:afterSwap", () => {
  for (const [id, open] of openDetails) {
    const details = document.getElementById(id);
    if (details) details.open = open;
  }
  announce();
});

// Content that is not refreshed must not look current.
const offline = document.getElementById("offline");
for (const failure of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.addEventListener(failure, (event) => { offline.hidden = !event.target.matches(POLLED); });
}
document.addEventListener("htmx:beforeOnLoad", (event) => {
  if (event.detail.xhr.status < 400) offline.hidden = true;
});

let announced = document.getElementById("now")?.textContent;

function announce() {
  const sentence = document.getElementById("now")?.textContent;
  const status = document.getElementById("announce");
  if (status && sentence && sentence !== announced) status.textContent = announced = sentence;
}

// Right after sending, Undo has the focus. A key that is still held down from sending does not press it.
const undo = document.getElementById("action-undo");
if (undo && document.activeElement === document.body) undo.focus();
document.addEventListener("keydown", (event) => {
  if (event.repeat && event.target.id === "action-undo") event.preventDefault();
});

// A link to an attempt opens it.
function openTarget() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
}
addEventListener("hashchange", openTarget);
openTarget();
