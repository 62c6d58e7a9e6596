// The composer: shows the files just chosen, sends on Ctrl+Enter, never sends twice, and does not
// let unsaved text go without a question.

const form = document.getElementById("compose");
const picker = form.querySelector('input[type="file"]');
const chosen = document.getElementById("chosen");
const limit = Number(form.dataset.limit);
let dirty = "dirty" in form.dataset;
let leaving = false;

// After bad input the page stands at the address it was sent to; from now on it is the draft's.
if (new URL(form.action).pathname !== location.pathname) history.replaceState(null, "", form.action);

form.querySelector('[aria-invalid="true"]')?.focus();

form.addEventListener("input", () => { dirty = true; });

form.addEventListener("submit", (event) => {
  if (leaving) event.preventDefault();
  leaving = true;
  event.submitter?.setAttribute("aria-busy", "true");
});

addEventListener("beforeunload", (event) => {
  if (dirty && !leaving) event.preventDefault();
});

// Back to a page that was left by sending: it must work again.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form.requestSubmit(form.querySelector('[name="send"]'));
  }
});

picker.addEventListener("change", () => {
  chosen.replaceChildren(...Array.from(picker.files, row));
  chosen.hidden = picker.files.length === 0;
});

function row(file) {
  const item = document.createElement("li");
  const name = document.createElement("bdi");
  const size = document.createElement("span");
  name.textContent = file.name;
  size.textContent = bytes(file.size);
  size.className = file.size > limit ? "too-big" : "faint";
  item.append(name, size);
  return item;
}

function bytes(count) {
  const [unit, length] = count >= 1e6 ? ["megabyte", 1e6] : count >= 1e3 ? ["kilobyte", 1e3] : ["byte", 1];
  const style = { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: count < 10 * length ? 1 : 0 };
  return new Intl.NumberFormat(document.documentElement.lang, style).format(count / length);
}
