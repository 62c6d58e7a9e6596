// Saves the draft while it is written: half a second after the last change, at most a second and a
// half after the first, one save at a time. The server decides; what it refuses stays here, in sight.

import { formatClock } from "../clock.js";
import { drop, keep } from "../unsaved.js";
import { say } from "./words.js";

const QUIET_FOR = 500;
const AT_MOST = 1500;
const RETRY_AFTER = 2000;
const ALONG_MAX = 60_000; // bytes that a browser sends on after its page is gone

const form = document.getElementById("compose");
const note = document.getElementById("saved");
const trouble = document.getElementById("unsaved");
const heard = new Set(); // who wants to know which addresses are wrong

let changes = 0; // counted; `kept` of them are on the server
let kept = 0;
let since = null; // when the first of those that are not was made
let timer = null;
let running = null;
let stopped = false; // the server's copy went its own way
let failing = false;
let keptHere = false; // in this browser, since the server has it not
let signedOut = false;

export const isUnsaved = () => kept < changes;
export const isFailing = () => failing || stopped;
export const isSignedOut = () => signedOut;
export const isKeptHere = () => keptHere;
export const onWrong = (listener) => heard.add(listener);

export function changed() {
  changes += 1;
  since ??= Date.now();
  plan(Math.min(QUIET_FOR, Math.max(0, since + AT_MOST - Date.now())));
}

// Saves now, and is done when everything typed so far is on the server, or cannot get there.
export async function save() {
  clearTimeout(timer);
  while (running) await running;
  running = attempt().finally(() => { running = null; });
  return running;
}

// A draft has to exist before anything can be put into it.
export async function begin() {
  if (!form.dataset.files && !stopped) await save();
  return form.dataset.files;
}

export async function settled() {
  clearTimeout(timer);
  while (running) await running;
}

// The last words of a page that goes away.
export function flush() {
  if (isUnsaved() && !running && !stopped && size() < ALONG_MAX) save();
}

export const size = () => new Blob([...content().values()]).size;

// The token changes whenever somebody signs in, maybe in another tab.
export function token() {
  const found = document.cookie.match(/(?:^|; )csrftoken=([^;]+)/);
  const field = form.elements.csrfmiddlewaretoken;
  if (found) field.value = found[1];
  return field.value;
}

function plan(after) {
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
  note.textContent = say("saving");
  let answer;
  try {
    answer = await fetch(form.dataset.save, {
      method: "POST",
      body: data,
      redirect: "manual", // to the sign-in page
      keepalive: size() < ALONG_MAX,
      headers: { Accept: "application/json" },
      signal: AbortSignal.timeout(20_000),
    });
  } catch {
    return fail("failing", data);
  }
  const isOther = answer.status === 403 && answer.headers.get("Content-Type")?.includes("json");
  signedOut = isOther || answer.type === "opaqueredirect";
  if (signedOut) return fail(isOther ? "otherUser" : "signedOut", data);
  if (answer.ok) return succeed(await answer.json(), counted);
  if (answer.status === 409) return stop(say("conflict"), true);
  if (answer.status === 410) return stop((await answer.json()).problem);
  if (answer.status === 404) return stop(say("refused"));
  fail(answer.status >= 500 ? "failing" : "refused", data);
}

function succeed(told, counted) {
  kept = Math.max(kept, counted);
  since = isUnsaved() ? Date.now() : null;
  failing = false;
  trouble.hidden = true;
  drop(form.dataset.user, form.elements.form.value);
  keptHere = false;
  note.textContent = `${say("saved")} ${formatClock(new Date())}`;
  form.elements.version.value = told.version;
  form.dataset.save = told.save;
  form.dataset.draft = told.draft;
  form.dataset.files = told.files;
  if (new URL(form.action).pathname !== told.draft) {
    form.action = told.draft;
    history.replaceState(null, "", told.draft);
    const discard = document.getElementById("discard");
    discard.href = `${told.draft}discard/`;
    discard.hidden = false;
  }
  if (told.list) form.dispatchEvent(new CustomEvent("stored", { detail: told.list }));
  for (const listener of heard) listener(told.wrong);
  if (isUnsaved()) plan(QUIET_FOR);
}

function fail(why, data) {
  failing = true;
  const fields = Array.from(data).filter(([name]) => name !== "csrfmiddlewaretoken");
  keptHere = keep(form.dataset.user, { mark: data.get("form"), draft: form.dataset.draft ?? "", fields });
  tell(say(why === "signedOut" && !keptHere ? "signedOutUnkept" : why));
  plan(RETRY_AFTER);
}

function stop(text, isConflict = false) {
  stopped = true;
  tell(text, isConflict);
}

function tell(text, isConflict = false) {
  note.textContent = "";
  const [sentence, choice, signIn] = trouble.children;
  if (sentence.textContent !== text || trouble.hidden) sentence.textContent = text;
  choice.hidden = !isConflict;
  signIn.hidden = !(signedOut && keptHere);
  signIn.firstElementChild.href = location.pathname + location.search;
  trouble.hidden = false;
}
