// Files go to the server as soon as they are chosen, dropped or pasted, each with a bar of its own.

import { begin, changed, token } from "./saving.js";
import { say } from "./words.js";

const form = document.getElementById("compose");
const picker = form.querySelector('input[type="file"]');
const coming = document.getElementById("coming");
const limit = Number(form.dataset.limit);
const PICTURE = /^image\/(?:png|jpeg|gif|webp)$/;
const under = new Set(); // uploads under way
let last = Promise.resolve(); // one upload after another, so that the files keep their order

export const settled = () => Promise.allSettled(under);
export const isPicture = (file) => PICTURE.test(file.type);

// Sends one file; returns the address of a picture that was put into the text.
export function upload(file, { inline = false } = {}) {
  const row = new Row(file);
  const sent = last.then(() => send(file, row, inline));
  last = sent.catch(() => {});
  under.add(sent);
  sent.finally(() => under.delete(sent)).catch(() => {});
  return sent;
}

// Says in the list of files that one could not be read.
export function refuse(name) {
  return new Row({ name }).fail(say("uploadFailed", name));
}

async function send(file, row, inline) {
  if (file.size > limit) return row.fail(say("tooBig", file.name));
  const address = row.isGone ? null : await begin();
  if (row.isGone) return undefined; // removed while it waited
  if (!address) return row.fail(say("uploadFailed", file.name));
  const data = new FormData();
  data.append("attachments", file, file.name);
  if (inline) data.append("inline", "1");
  const answer = await post(address, data, row);
  if (answer?.list === undefined) return row.fail(answer?.problem ?? say("uploadFailed", file.name));
  row.done();
  show(answer.list);
  return answer.pictures[0];
}

function post(address, data, row) {
  data.append("csrfmiddlewaretoken", token());
  const request = new XMLHttpRequest(); // fetch tells nothing of how far it got
  request.open("POST", address);
  request.responseType = "json";
  request.upload.addEventListener("progress", (event) => row?.progress(event.loaded / event.total));
  return new Promise((resolve) => {
    request.addEventListener("loadend", () => resolve(request.response));
    row?.cancels(() => request.abort());
    request.send(data);
  });
}

function show(list) {
  const page = new DOMParser().parseFromString(list, "text/html");
  document.getElementById("files").replaceWith(page.getElementById("files"));
}

class Row {
  constructor(file) {
    this.item = document.createElement("li");
    this.name = document.createElement("bdi");
    this.bar = document.createElement("progress");
    this.button = document.createElement("button");
    this.name.textContent = file.name;
    this.bar.max = 1;
    this.bar.setAttribute("aria-label", say("uploading", file.name));
    Object.assign(this.button, { type: "button", className: "plain", textContent: "×" });
    this.button.setAttribute("aria-label", say("remove", file.name));
    this.button.addEventListener("click", () => this.done());
    this.item.append(this.name, this.bar, this.button);
    coming.append(this.item);
  }

  progress(share) { if (Number.isFinite(share)) this.bar.value = share; }

  cancels(abort) { this.button.addEventListener("click", abort); }

  get isGone() { return !this.item.isConnected; }

  done() { this.item.remove(); }

  fail(problem) {
    this.bar.remove();
    this.name.textContent = problem;
    this.name.className = "too-big";
    this.item.setAttribute("role", "alert");
  }
}

function takePicked() {
  for (const file of picker.files) upload(file);
  picker.value = ""; // they are on their way; the form must not send them again
}
picker.addEventListener("change", takePicked);
takePicked(); // chosen while this script was on its way

// An answer that is stored has its own copies of the original's files.
form.addEventListener("stored", ({ detail: list }) => show(list));

form.addEventListener("click", (event) => {
  const button = event.target.closest('button[name="leave_out"]');
  if (!button) return;
  event.preventDefault();
  button.closest("li").remove();
  if (button.dataset.gone) form.dispatchEvent(new CustomEvent("gone", { detail: button.dataset.gone }));
  changed();
});

form.addEventListener("click", async (event) => {
  const button = event.target.closest('button[name="remove"]');
  if (!button || !form.dataset.files) return;
  event.preventDefault();
  const data = new FormData();
  data.append("remove", button.value);
  const answer = await post(form.dataset.files, data);
  if (answer?.list === undefined) return form.requestSubmit(button); // then the server says why not
  show(answer.list);
  for (const address of answer.gone) form.dispatchEvent(new CustomEvent("gone", { detail: address }));
});

// Dropped anywhere, pasted anywhere: what the editor did not take becomes an attachment.

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
let depth = 0;

form.dataset.drop = say("drop");
document.addEventListener("dragenter", (event) => { if (hasFiles(event)) form.classList.toggle("dropping", (depth += 1) > 0); });
document.addEventListener("dragleave", (event) => { if (hasFiles(event)) form.classList.toggle("dropping", (depth -= 1) > 0); });
document.addEventListener("dragover", (event) => { if (hasFiles(event)) event.preventDefault(); });
document.addEventListener("drop", (event) => {
  depth = 0;
  form.classList.remove("dropping");
  if (!hasFiles(event) || event.defaultPrevented) return;
  event.preventDefault();
  for (const file of event.dataTransfer.files) upload(file);
});
document.addEventListener("paste", (event) => {
  const files = event.clipboardData?.files ?? [];
  if (event.defaultPrevented || !files.length) return;
  event.preventDefault();
  for (const file of files) upload(file);
  changed();
});
