// Saves the draft while it is written: half a second after the last change, at most a second and a
// half after the first, one save at a time. What the server refuses stays on the page.

import { formatClock } from "../clock.js";
import { drop, keep } from "../unsaved.js";
import { uiText } from "./ui_texts.js";

const QUIET_FOR = 500;
const AT_MOST = 1500;
const RETRY_AFTER = 2000;
const KEEPALIVE_MAX = 60_000; // bytes that a browser still sends after its page is closed

const form = document.getElementById("compose");
const status = document.getElementById("saved");
const warning = document.getElementById("unsaved");
const listeners = new Set(); // called with the invalid addresses

let changes = 0; // counted; the first `savedChanges` of them are on the server
let savedChanges = 0;
let unsavedSince = null; // time of the first unsaved change
let timer = null;
let running = null;
let stopped = false; // the server has another version, or no draft any more
let failing = false;
let keptHere = false; // in this browser, since the server could not save it
let signedOut = false;

export const isUnsaved = () => savedChanges < changes;
export const isFailing = () => failing || stopped;
export const isSignedOut = () => signedOut;
export const onInvalid = (listener) => listeners.add(listener);

export function changed() {
  changes += 1;
  unsavedSince ??= Date.now();
  schedule(Math.min(QUIET_FOR, Math.max(0, unsavedSince + AT_MOST - Date.now())));
}

// Saves now. Resolves when everything typed so far is saved, or could not be saved.
export async function save() {
  clearTimeout(timer);
  while (running) await running;
  running = attempt().finally(() => { running = null; });
  return running;
}

// Returns the URL for attachments, after creating the draft if there is none yet.
export async function attachmentsUrl() {
  if (!form.dataset.attachments && !stopped) await save();
  return form.dataset.attachments;
}

export async function finished() {
  clearTimeout(timer);
  while (running) await running;
}

// Saves the last changes of a page that is being closed.
export function flush() {
  if (isUnsaved() && !running && !stopped && size() < KEEPALIVE_MAX) save();
}

export const size = () => new Blob([...content().values()]).size;

// The token changes with every sign-in, also in another tab.
export function token() {
  const found = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/);
  const field = form.elements.csrfmiddlewaretoken;
  if (found) field.value = found[1];
  return field.value;
}

function schedule(after) {
  if (stopped) return;
  clearTimeout(timer);
  timer = setTimeout(save, after);
}

function content() {
  token();
  const data = new FormData(form);
  data.delete("attachments");
  return data;
}

async function attempt() {
  if (stopped) return;
  const counted = changes;
  const data = content();
  status.textContent = uiText("saving");
  let response;
  try {
    response = await fetch(form.dataset.save, {
      method: "POST",
      body: data,
      redirect: "manual", // to the sign-in page
      keepalive: size() < KEEPALIVE_MAX,
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(20_000),
    });
  } catch {
    return fail(uiText("failing"), data);
  }
  const isOther = response.status === 403 && response.headers.get("Content-Type")?.includes("json");
  signedOut = isOther || response.type === "opaqueredirect";
  if (signedOut) return fail(uiText(isOther ? "otherUser" : "signedOut"), data, isOther ? "" : uiText("signedOutUnkept"));
  if (response.ok) return succeed(await response.json(), counted);
  if (response.status === 409) return stop(uiText("conflict"), true);
  if (response.status === 410) return stop((await response.json()).problem);
  if (response.status === 422) return fail((await response.json()).problem, data);
  if (response.status === 404) return stop(uiText("rejected"));
  fail(uiText(response.status >= 500 ? "failing" : "rejected"), data);
}

function succeed(response, counted) {
  savedChanges = Math.max(savedChanges, counted);
  unsavedSince = isUnsaved() ? Date.now() : null;
  failing = false;
  warning.hidden = true;
  drop(form.dataset.user, form.elements.form.value);
  keptHere = false;
  status.textContent = `${uiText("saved")} ${formatClock(new Date())}`;
  if (response.problem) showError(response.problem); // the text was saved, a picture was not
  form.elements.version.value = response.version;
  form.dataset.save = response.save;
  form.dataset.draft = response.draft;
  form.dataset.attachments = response.attachments;
  if (new URL(form.action).pathname !== response.draft) {
    form.action = response.draft;
    history.replaceState(null, "", response.draft);
    const discard = document.getElementById("discard");
    discard.href = `${response.draft}discard/`;
    discard.hidden = false;
  }
  if (response.list) form.dispatchEvent(new CustomEvent("stored", { detail: response.list }));
  for (const listener of listeners) listener(response.invalid);
  if (isUnsaved()) schedule(QUIET_FOR);
}

// Shows the text, and keeps what was typed in this browser; `unkept` is shown if that is impossible.
function fail(text, data, unkept = "") {
  failing = true;
  const fields = Array.from(data).filter(([name]) => name !== "csrfmiddlewaretoken");
  keptHere = keep(form.dataset.user, { mark: data.get("form"), draft: form.dataset.draft ?? "", fields });
  showError((!keptHere && unkept) || text);
  schedule(RETRY_AFTER);
}

function stop(text, isConflict = false) {
  stopped = true;
  showError(text, isConflict);
}

function showError(text, isConflict = false) {
  status.textContent = "";
  const [sentence, conflict, signIn] = warning.children;
  if (sentence.textContent !== text || warning.hidden) sentence.textContent = text;
  conflict.hidden = !isConflict;
  signIn.hidden = !(signedOut && keptHere);
  signIn.firstElementChild.href = location.pathname + location.search;
  warning.hidden = false;
}
