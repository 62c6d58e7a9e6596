// Where the focus goes when the composer is displayed: to the first mistake, to the warnings, or to
// where one begins to write. An element that has the focus already keeps it.

import { say } from "./words.js";

export function focusFirst(form, addressFields) {
  const invalid = form.querySelector('[aria-invalid="true"]:not([hidden])');
  const field = addressFields.find(({ input }) => input === invalid);
  const target = field ?? invalid ?? form.querySelector(".advice");
  if (target) {
    invalid?.closest("[popover]")?.showPopover();
    target.focus();
    (invalid ?? target).scrollIntoView({ block: "center" });
  } else if (document.activeElement === document.body) {
    const begin = form.querySelector("[autofocus]");
    (addressFields.find((one) => one.field === begin) ?? begin)?.focus();
  }
}

export function tellBadTime(field) {
  const id = `${field.id}_error`;
  let error = document.getElementById(id);
  if (!error) {
    error = Object.assign(document.createElement("p"), { id, className: "error" });
    error.setAttribute("role", "alert");
    field.after(error);
  }
  error.textContent = say("badTime");
  field.setAttribute("aria-invalid", "true");
  field.setAttribute("aria-describedby", id);
  field.closest("[popover]").showPopover();
  field.focus();
}
