// Inserts a template, filled in by the server, into the open message.

import { changed } from "./autosave.js";
import { uiText } from "./ui_texts.js";

const form = document.getElementById("compose");
const dialog = document.getElementById("dialog");
let filling = null; // aborts the request whose response is going to be inserted

dialog.addEventListener("submit", async (event) => {
  if (event.submitter?.id !== "insert-use") return;
  event.preventDefault();
  if (filling) return;
  filling = new AbortController();
  event.submitter.setAttribute("aria-busy", "true");
  const filled = await fill(event.target, filling.signal);
  event.submitter.removeAttribute("aria-busy");
  filling = null;
  if (dialog.open && filled) insert(filled);
});

dialog.addEventListener("close", () => filling?.abort());

// Returns the preview for the values as they are now, since the displayed one lags behind the typing.
// Returns null when the preview shows an error.
async function fill(valueForm, signal) {
  const data = new FormData(valueForm);
  data.append("part", "1");
  let page;
  try {
    const response = await fetch(valueForm.action, { method: "POST", body: data, signal, headers: { "HX-Request": "true" } });
    page = new DOMParser().parseFromString(await response.text(), "text/html");
  } catch {
    page = null;
  }
  const preview = page?.getElementById("insert-preview");
  if (!preview) showError(valueForm, uiText("notInserted"));
  else valueForm.querySelector("#insert-preview").replaceWith(document.adoptNode(preview));
  return preview && !("problem" in preview.dataset) ? preview.dataset : null;
}

function showError(valueForm, problem) {
  const field = valueForm.querySelector("#insert-problem");
  field.textContent = problem;
  field.hidden = false;
}

function insert({ subject, text, html }) {
  if (!form.elements.subject.value.trim()) form.elements.subject.value = subject;
  // The editor inserts it if it is open, and opens for formatted text.
  const event = new CustomEvent("insert", { cancelable: true, detail: { text, html } });
  if (form.dispatchEvent(event)) insertInto(form.elements.text, text);
  dialog.close();
  changed();
}

dialog.addEventListener("htmx:load", ({ target }) => {
  const inputs = Array.from(target.querySelectorAll("#insert-form input[hx-post]"));
  // Values typed before htmx processed the fields are filled in as well.
  inputs.find((field) => field.value !== field.defaultValue)?.dispatchEvent(new Event("input"));
  // After a template was chosen, its first placeholder gets the focus.
  (inputs[0] ?? target.querySelector("#insert-use"))?.focus();
});

function insertInto(field, text) {
  field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
  field.focus();
}
