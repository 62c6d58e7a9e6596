// Focuses the first invalid field, else the warnings, else the field to write in. An element that
// already has the focus keeps it.

import { uiText } from "./ui_texts.js";

export function focusFirst(form, addressFields) {
  const invalid = form.querySelector('[aria-invalid="true"]:not([hidden])');
  const field = addressFields.find(({ input }) => input === invalid);
  const target = field ?? invalid ?? form.querySelector(".send-warnings");
  if (target) {
    invalid?.closest("[popover]")?.showPopover();
    target.focus();
    (invalid ?? target).scrollIntoView({ block: "center" });
  } else if (document.activeElement === document.body) {
    const first = form.querySelector("[autofocus]");
    (addressFields.find((one) => one.field === first) ?? first)?.focus();
  }
}

export function showBadTime(field) {
  const id = `${field.id}_error`;
  let error = document.getElementById(id);
  if (!error) {
    error = Object.assign(document.createElement("p"), { id, className: "error" });
    error.setAttribute("role", "alert");
    field.after(error);
  }
  error.textContent = uiText("badTime");
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", id);
  field.closest("[popover]").showPopover();
  field.focus();
}
