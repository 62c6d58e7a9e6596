// Keeps a page calm while htmx refreshes parts of it: what is open stays open, a selection is not
// torn away, a hidden tab does not ask, screen readers hear what changed in one sentence, and a site
// that does not answer is told.

const POLLED = "#live, #rows";
const REPLACED = "#live, #rows, #attempts, #timeline"; // with one answer

let opened = new Map();

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target.matches(POLLED) && document.hidden) event.preventDefault();
});

document.addEventListener("htmx:beforeSwap", (event) => {
  if (!event.target.matches(POLLED)) return;
  const selection = document.getSelection();
  // The next look asks for the same again, so nothing is missed by leaving this one out.
  const isTorn = (part) => selection.containsNode(part, true);
  if (!selection.isCollapsed && Array.from(document.querySelectorAll(REPLACED)).some(isTorn)) event.detail.shouldSwap = false;
  opened = new Map(Array.from(document.querySelectorAll("details[id]"), (one) => [one.id, one.open]));
});

document.addEventListener("htmx:afterSwap", () => {
  for (const [id, open] of opened) {
    const details = document.getElementById(id);
    if (details) details.open = open;
  }
  showCurrent();
  announce();
});

// What stands still because nothing answers must not look like news.
const offline = document.getElementById("offline");
for (const failure of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  document.addEventListener(failure, (event) => { offline.hidden = !event.target.matches(POLLED); });
}
document.addEventListener("htmx:beforeOnLoad", (event) => {
  if (event.detail.xhr.status < 400) offline.hidden = true;
});

let said = document.getElementById("now")?.textContent;

function announce() {
  const sentence = document.getElementById("now")?.textContent;
  const voice = document.getElementById("announce");
  if (voice && sentence && sentence !== said) voice.textContent = said = sentence;
}

// The tab in sight: on a narrow screen the strip scrolls.
function showCurrent() {
  for (const strip of document.querySelectorAll(".tabs")) {
    const current = strip.querySelector("[aria-current]");
    if (current) strip.scrollLeft = current.offsetLeft - (strip.clientWidth - current.offsetWidth) / 2;
  }
}
showCurrent();

// Right after sending, Undo is what one may want, and soon: it is one key away. A key that is still
// held down from sending is not meant for it.
const undo = document.getElementById("act-undo");
if (undo && document.activeElement === document.body) undo.focus();
document.addEventListener("keydown", (event) => {
  if (event.repeat && event.target.id === "act-undo") event.preventDefault();
});

// A link to an attempt opens it.
function openTarget() {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
}
addEventListener("hashchange", openTarget);
openTarget();
