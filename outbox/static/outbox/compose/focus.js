// Where the focus goes when the composer is displayed: to the first mistake, to the warnings, or to
// where one begins to write. An element that has the focus already keeps it.

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
