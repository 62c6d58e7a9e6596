// The composer. Everything it adds to the plain form stands in a module of its own; here is what
// concerns the whole: it saves while one writes, sends on Ctrl+Enter, never sends twice, and does
// not let unsaved text go without a question.

import { AddressField } from "./compose/chips.js";
import { focusFirst, tellBadTime } from "./compose/focus.js";
import * as files from "./compose/files.js";
import "./compose/inserting.js";
import * as saving from "./compose/saving.js";
import "./compose/restoring.js";
import { signWith } from "./compose/signature.js";

const form = document.getElementById("compose");
const send = document.getElementById("send");
let leaving = false;

// After bad input the page stands at the address it was sent to; from now on it is the draft's. A
// reload must not post what was sent then: it would replace what was typed since.
const isThere = new URL(form.action).pathname === location.pathname;
history.replaceState(null, "", isThere ? location.href : form.action);

const fields = Object.fromEntries(["to", "cc", "bcc", "reply_to"].map((name) => [name, new AddressField(form.elements[name], {
  suggest: form.dataset.suggest,
  changed,
})]));

function changed() {
  saving.changed();
  // That To is empty is no mistake any more.
  if (!fields.to.wrong.length && (fields.cc.field.value || fields.bcc.field.value)) fields.to.tell("");
}

saving.onWrong((wrong) => { for (const [name, field] of Object.entries(fields)) field.hear(wrong[name]); });

focusFirst(form, Object.values(fields));

const typed = (field) => field.name && ["text", "textarea"].includes(field.type) && field.value !== field.defaultValue;
if (Array.from(form.elements).some(typed)) saving.changed(); // while this script was on its way
form.addEventListener("input", (event) => { if (event.target.name && event.target.type !== "file") saving.changed(); });

// What is under way may still change where the form goes, and which version it is of.
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (leaving) return;
  const isSent = ["send", "later"].includes(event.submitter?.name);
  const wrong = isSent ? Object.values(fields).filter((field) => !field.isSendable()) : [];
  if (wrong.length) return wrong[0].focus();
  // A date that is half typed has no value, and the message would leave at once.
  if (isSent && form.elements.send_at.validity.badInput) return tellBadTime(form.elements.send_at);
  leaving = true;
  event.submitter?.setAttribute("aria-busy", "true");
  await files.settled();
  await saving.settled();
  if (await mustSignIn()) {
    leaving = false;
    event.submitter?.removeAttribute("aria-busy");
    return;
  }
  saving.token();
  if (event.submitter?.name) {
    const pressed = Object.assign(document.createElement("input"), { type: "hidden", name: event.submitter.name, value: event.submitter.value });
    form.append(pressed);
  }
  form.submit();
});

// A form that is sent without a session leads to the sign-in page, and its words are gone.
async function mustSignIn() {
  if (saving.isUnsaved() || saving.isFailing()) await saving.save();
  return saving.isSignedOut();
}

document.getElementById("sign-in").addEventListener("click", () => { leaving = true; });

addEventListener("beforeunload", (event) => {
  if (leaving || !saving.isUnsaved()) return;
  if (saving.isFailing() || saving.size() > 60_000) event.preventDefault();
  saving.flush();
});
document.addEventListener("visibilitychange", () => { if (document.hidden && !leaving) saving.flush(); });

// Back to a page that was left by sending: it must work again.
addEventListener("pageshow", (event) => {
  if (event.persisted) location.reload();
});

form.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    form.requestSubmit(send);
  }
});

// Enter in a form's field presses its first button, which saves the draft; at a time it schedules.
form.elements.send_at.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  form.requestSubmit(form.querySelector("#later [value=at]"));
});

// Which button a date belongs to must not be guessed.
form.elements.send_at.addEventListener("input", (event) => {
  send.lastElementChild.textContent = event.target.value ? send.dataset.later : send.dataset.now;
});

form.elements.account.addEventListener("change", (event) => signWith(event.target.value));

if (form.dataset.editor) import("./compose/editor.js");
