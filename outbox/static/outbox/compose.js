// The composer: saves while the user types, sends on Ctrl+Enter, never sends twice, and asks before
// unsaved text is lost. Each addition to the plain form has its own module in `compose/`.

import { AddressField } from "./compose/address_field.js";
import { focusFirst, showBadTime } from "./compose/focus.js";
import * as uploads from "./compose/uploads.js";
import "./compose/insert_template.js";
import * as autosave from "./compose/autosave.js";
import "./compose/restore.js";
import { setSignature } from "./compose/signature.js";

const form = document.getElementById("compose");
const send = document.getElementById("send");
let isSubmitting = false;

// After invalid input the page has the URL that the form was sent to. A reload must not post that
// form again, since it would replace what was typed in between.
const hasOwnUrl = new URL(form.action).pathname === location.pathname;
history.replaceState(null, "", hasOwnUrl ? location.href : form.action);

const fields = Object.fromEntries(["to", "cc", "bcc", "reply_to"].map((name) => [name, new AddressField(form.elements[name], {
  suggest: form.dataset.suggest,
  changed,
})]));

function changed() {
  autosave.changed();
  // An empty To is not an error once Cc or Bcc has an address.
  if (!fields.to.invalid.length && (fields.cc.field.value || fields.bcc.field.value)) fields.to.showError("");
}

autosave.onInvalid((invalid) => { for (const [name, field] of Object.entries(fields)) field.showServerErrors(invalid[name]); });

focusFirst(form, Object.values(fields));

const isChanged = (field) => field.name && ["text", "textarea"].includes(field.type) && field.value !== field.defaultValue;
if (Array.from(form.elements).some(isChanged)) autosave.changed(); // typed while this script was loading
form.addEventListener("input", (event) => { if (event.target.name && event.target.type !== "file") autosave.changed(); });

// A save or upload that is running may still change the form's URL and version.
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (isSubmitting) return;
  const isSent = ["send", "preset"].includes(event.submitter?.name);
  const invalid = isSent ? Object.values(fields).filter((field) => !field.isSendable()) : [];
  if (invalid.length) return invalid[0].focus();
  // An incomplete date has no value, and the message would be sent at once.
  if (isSent && form.elements.send_at.validity.badInput) return showBadTime(form.elements.send_at);
  isSubmitting = true;
  event.submitter?.setAttribute("aria-busy", "true");
  await uploads.finished();
  await autosave.finished();
  if (await mustSignIn()) {
    isSubmitting = false;
    event.submitter?.removeAttribute("aria-busy");
    return;
  }
  autosave.token();
  if (event.submitter?.name) {
    const pressed = Object.assign(document.createElement("input"), { type: "hidden", name: event.submitter.name, value: event.submitter.value });
    form.append(pressed);
  }
  form.submit();
});

// A form that is posted without a session leads to the sign-in page, and its text is lost.
async function mustSignIn() {
  if (autosave.isUnsaved() || autosave.isFailing()) await autosave.save();
  return autosave.isSignedOut();
}

document.getElementById("sign-in").addEventListener("click", () => { isSubmitting = true; });

addEventListener("beforeunload", (event) => {
  if (isSubmitting || !autosave.isUnsaved()) return;
  if (autosave.isFailing() || autosave.size() > 60_000) event.preventDefault();
  autosave.flush();
});
document.addEventListener("visibilitychange", () => { if (document.hidden && !isSubmitting) autosave.flush(); });

// After Back from a sent message the page must work again.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form.requestSubmit(send);
  }
});

// Enter in a form's field presses its first button, which saves the draft. In the time field it schedules.
form.elements.send_at.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  form.requestSubmit(form.querySelector("#later [value=at]"));
});

// The label of the main button says whether the message is scheduled.
form.elements.send_at.addEventListener("input", (event) => {
  send.lastElementChild.textContent = event.target.value ? send.dataset.later : send.dataset.now;
});

form.elements.account.addEventListener("change", (event) => setSignature(event.target.value));

if (form.dataset.editor) import("./compose/editor.js");
