// Replaces the signature when another account is chosen, unless the user changed it.

import { changed } from "./autosave.js";

const signatures = JSON.parse(document.getElementById("signatures").textContent);
const form = document.getElementById("compose");
let current = signatures[form.elements.account.value] ?? "";

export function setSignature(account) {
  const next = signatures[account] ?? "";
  const text = form.elements.text;
  const value = text.value.replaceAll("\r\n", "\n");
  if (form.elements.html.disabled && value.endsWith(current)) {
    text.value = value.slice(0, value.length - current.length) + next;
    changed();
  }
  form.dispatchEvent(new CustomEvent("signed", { detail: { from: current, to: next } }));
  current = next;
}
