// Shows a notice that can restore what the user typed before the session ended. The server saves it like any form, so
// that a draft that was changed elsewhere becomes a conflict and no text is lost.

import { drop, entriesOf } from "../unsaved.js";

const form = document.getElementById("compose");
const notice = document.getElementById("restore");
const { user } = form.dataset;
const here = form.dataset.draft ?? "";
const entry = entriesOf(user).find((one) => one.draft === here && one.mark !== form.elements.form.value);

if (entry) show();

function show() {
  notice.querySelector("bdi").textContent = summaryOf(entry.fields);
  notice.querySelector("[data-restore]").addEventListener("click", restore);
  notice.querySelector("[data-forget]").addEventListener("click", () => {
    drop(user, entry.mark);
    notice.hidden = true;
  });
  notice.hidden = false;
}

function summaryOf(fields) {
  const text = (name) => fields.find(([field]) => field === name)?.[1].trim() ?? "";
  return (text("text") || text("subject") || text("to")).slice(0, 200);
}

function restore() {
  const copy = Object.assign(document.createElement("form"), { method: "post", action: form.action, hidden: true });
  const fields = [...entry.fields, ["csrfmiddlewaretoken", form.elements.csrfmiddlewaretoken.value], ["save", "1"]];
  for (const [name, value] of fields) {
    copy.append(Object.assign(document.createElement("textarea"), { name, value }));
  }
  document.body.append(copy);
  copy.submit();
}
