// Puts another account's signature in the place of the present one, where that still stands.

import { changed } from "./saving.js";

const signatures = JSON.parse(document.getElementById("signatures").textContent);
const form = document.getElementById("compose");
let present = signatures[form.elements.account.value] ?? "";

export function signWith(account) {
  const next = signatures[account] ?? "";
  const text = form.elements.text;
  const written = text.value.replaceAll("\r\n", "\n");
  if (form.elements.html.disabled && written.endsWith(present)) {
    text.value = written.slice(0, written.length - present.length) + next;
    changed();
  }
  form.dispatchEvent(new CustomEvent("signed", { detail: { from: present, to: next } }));
  present = next;
}
