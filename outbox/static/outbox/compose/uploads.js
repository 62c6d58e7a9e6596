// Uploads files as soon as they are chosen, dropped or pasted, each with its own progress bar.

import { attachmentsUrl, changed, token } from "./autosave.js";
import { uiText } from "./ui_texts.js";

const form = document.getElementById("compose");
const picker = form.querySelector('input[type="file"]');
const pending = document.getElementById("coming");
const limit = Number(form.dataset.limit);
const PICTURE = /^image\/(?:png|jpeg|gif|webp)$/;
const running = new Set();
let last = Promise.resolve(); // one upload at a time, so that the files keep their order

export const finished = () => Promise.all(Array.from(running, (one) => one.catch(() => {})));
export const isPicture = (file) => PICTURE.test(file.type);

// Uploads one file; returns the URL of a picture for the text.
export function upload(file, { inline = false } = {}) {
  const row = new Row(file);
  const sent = last.then(() => send(file, row, inline));
  last = sent.catch(() => {});
  running.add(sent);
  sent.finally(() => running.delete(sent)).catch(() => {});
  return sent;
}

// Shows in the list of files that one could not be read.
export function refuse(name) {
  return new Row({ name }).fail(uiText("uploadFailed", name));
}

async function send(file, row, inline) {
  if (file.size > limit) return row.fail(uiText("tooBig", file.name));
  const url = row.isRemoved ? null : await attachmentsUrl();
  if (row.isRemoved) return undefined; // while it waited
  if (!url) return row.fail(uiText("uploadFailed", file.name));
  const data = new FormData();
  data.append("attachments", file, file.name);
  if (inline) data.append("inline", "1");
  const response = await post(url, data, row);
  if (response?.list === undefined) return row.fail(response?.problem ?? uiText("uploadFailed", file.name));
  row.done();
  show(response.list);
  return response.pictures[0];
}

function post(url, data, row) {
  data.append("csrfmiddlewaretoken", token());
  const request = new XMLHttpRequest(); // fetch does not report upload progress
  request.open("POST", url);
  request.responseType = "json";
  request.upload.addEventListener("progress", (event) => row?.progress(event.loaded / event.total));
  return new Promise((resolve) => {
    request.addEventListener("loadend", () => resolve(request.response));
    row?.onCancel(() => request.abort());
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
    this.bar.setAttribute("aria-label", uiText("uploading", file.name));
    Object.assign(this.button, { type: "button", className: "plain", textContent: "×" });
    this.button.setAttribute("aria-label", uiText("remove", file.name));
    this.button.addEventListener("click", () => this.done());
    this.item.append(this.name, this.bar, this.button);
    pending.append(this.item);
  }

  progress(share) { if (Number.isFinite(share)) this.bar.value = share; }

  onCancel(abort) { this.button.addEventListener("click", abort); }

  get isRemoved() { return !this.item.isConnected; }

  done() { this.item.remove(); }

  fail(problem) {
    this.bar.remove();
    this.name.textContent = problem;
    this.name.className = "too-big";
    this.item.setAttribute("role", "alert");
  }
}

function uploadChosen() {
  for (const file of picker.files) upload(file);
  picker.value = ""; // they are being uploaded; the form must not send them again
}
picker.addEventListener("change", uploadChosen);
uploadChosen(); // chosen while this script was loading

// The first save of a reply, forward or copy stores copies of the original's files.
form.addEventListener("stored", ({ detail: list }) => show(list));

form.addEventListener("click", (event) => {
  const button = event.target.closest('button[name="exclude"]');
  if (!button) return;
  event.preventDefault();
  button.closest("li").remove();
  if (button.dataset.removedUrl) form.dispatchEvent(new CustomEvent("removed", { detail: button.dataset.removedUrl }));
  changed();
});

form.addEventListener("click", async (event) => {
  const button = event.target.closest('button[name="remove"]');
  if (!button || !form.dataset.attachments) return;
  event.preventDefault();
  const data = new FormData();
  data.append("remove", button.value);
  const response = await post(form.dataset.attachments, data);
  if (response?.list === undefined) return form.requestSubmit(button); // then the server shows the reason
  show(response.list);
  for (const url of response.removed) form.dispatchEvent(new CustomEvent("removed", { detail: url }));
});

// Files that are dropped or pasted anywhere, and not handled by the editor, become attachments.

const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
let depth = 0;

form.dataset.drop = uiText("drop");
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
