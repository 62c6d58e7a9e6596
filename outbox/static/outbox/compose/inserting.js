// Takes a template's words, filled in by the server, into the mail at hand instead of a new draft.

import { changed } from "./saving.js";

const form = document.getElementById("compose");
const dialog = document.getElementById("dialog");

dialog.addEventListener("submit", (event) => {
  if (event.submitter?.id !== "insert-use") return;
  event.preventDefault();
  const { subject, text, html } = dialog.querySelector("#insert-preview").dataset;
  if (!form.elements.subject.value.trim()) form.elements.subject.value = subject;
  // The editor takes it where it is open, and opens itself for what is formatted.
  const asked = new CustomEvent("insert", { cancelable: true, detail: { text, html } });
  if (form.dispatchEvent(asked)) putInto(form.elements.text, text);
  dialog.close();
  changed();
});

// What was typed before htmx had taken the fields over is filled in as well.
dialog.addEventListener("htmx:load", ({ target }) => {
  const fields = Array.from(target.querySelectorAll("#insert-form input[hx-post]"));
  fields.find((field) => field.value !== field.defaultValue)?.dispatchEvent(new Event("input"));
});

function putInto(field, text) {
  field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
  field.focus();
}
