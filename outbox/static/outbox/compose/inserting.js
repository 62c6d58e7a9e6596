// Inserts a template's words, filled in by the server, into the message instead of a new draft.

import { changed } from "./saving.js";
import { say } from "./words.js";

const form = document.getElementById("compose");
const dialog = document.getElementById("dialog");
let filling = null; // aborts the request whose answer is going to be inserted

dialog.addEventListener("submit", async (event) => {
  if (event.submitter?.id !== "insert-use") return;
  event.preventDefault();
  if (filling) return;
  filling = new AbortController();
  event.submitter.setAttribute("aria-busy", "true");
  const filled = await fill(event.target, filling.signal);
  event.submitter.removeAttribute("aria-busy");
  filling = null;
  if (dialog.open && filled) use(filled);
});

dialog.addEventListener("close", () => filling?.abort());

// The preview follows the typing a moment later, so what is inserted is made of the values as they
// are now. Returns the preview, or nothing where it shows what is wrong.
async function fill(values, signal) {
  const data = new FormData(values);
  data.append("part", "1");
  let page;
  try {
    const answer = await fetch(values.action, { method: "POST", body: data, signal, headers: { "HX-Request": "true" } });
    page = new DOMParser().parseFromString(await answer.text(), "text/html");
  } catch {
    page = null;
  }
  const preview = page?.getElementById("insert-preview");
  if (!preview) tell(values, say("notInserted"));
  else values.querySelector("#insert-preview").replaceWith(document.adoptNode(preview));
  return preview && !("problem" in preview.dataset) ? preview.dataset : null;
}

function tell(values, problem) {
  const place = values.querySelector("#insert-problem");
  place.textContent = problem;
  place.hidden = false;
}

function use({ subject, text, html }) {
  if (!form.elements.subject.value.trim()) form.elements.subject.value = subject;
  // The editor inserts it where it is open, and opens itself for what is formatted.
  const asked = new CustomEvent("insert", { cancelable: true, detail: { text, html } });
  if (form.dispatchEvent(asked)) putInto(form.elements.text, text);
  dialog.close();
  changed();
}

dialog.addEventListener("htmx:load", ({ target }) => {
  const inputs = Array.from(target.querySelectorAll("#insert-form input[hx-post]"));
  // What was typed before htmx had taken the fields over is filled in as well.
  inputs.find((field) => field.value !== field.defaultValue)?.dispatchEvent(new Event("input"));
  // A template was chosen: its first placeholder comes next.
  (inputs[0] ?? target.querySelector("#insert-use"))?.focus();
});

function putInto(field, text) {
  field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
  field.focus();
}
