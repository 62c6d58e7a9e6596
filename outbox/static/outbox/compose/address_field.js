// An address field. Each recipient is a chip; an invalid address is a red chip, never text that later
// keystrokes could join. The form's own field stays, hidden, with the value that is submitted. The
// input holds only what is being typed.

import { isList, parseEntry, splitEntries, splitTyped } from "./address_parser.js";
import { Suggestions } from "./suggestions.js";
import { uiText } from "./ui_texts.js";

export class AddressField {
  constructor(field, { suggest, changed }) {
    this.field = field;
    this.changed = changed;
    this.label = document.querySelector(`label[for="${field.id}"]`);
    this.error = document.getElementById(`${field.id}_error`);
    this.rejected = new Set(); // entries that the server could not parse
    const isTyping = document.activeElement === field;
    this.build(suggest);
    this.add(splitEntries(field.value));
    if (isTyping) this.resumeTyping();
  }

  build(suggest) {
    const { field, label } = this;
    const name = label.textContent.trim();
    this.box = make("div", { className: "chips" });
    this.list = make("ul", { className: "chip-list" });
    this.list.setAttribute("aria-label", uiText("recipients", name));
    this.input = make("input", { id: `${field.id}_entry`, type: "text", autocomplete: "off", spellcheck: false, inputMode: "email", autocapitalize: "off" });
    this.status = make("span", { className: "unseen" });
    this.status.setAttribute("role", "status");
    this.suggestions = new Suggestions(this.input, {
      id: `${field.id}_options`,
      url: suggest,
      label: uiText("suggestions", name),
      known: () => new Set(this.entries.map((entry) => parseEntry(entry)?.spec.toLowerCase())),
      onChoose: (entry) => { this.input.value = ""; this.take([entry]); },
    });
    for (const attribute of ["aria-invalid", "aria-describedby"]) copy(attribute, field, this.input);
    label.htmlFor = this.input.id;
    field.hidden = true;
    this.box.append(this.list, this.input, this.suggestions.list, this.status);
    field.after(this.box);
    this.listen();
  }

  listen() {
    const { box, input, list } = this;
    box.addEventListener("click", (event) => { if (event.target === box || event.target === list) input.focus(); });
    box.addEventListener("drop", (event) => this.onDrop(event));
    input.addEventListener("input", (event) => { if (!event.isComposing) this.onInput(); });
    input.addEventListener("compositionend", () => this.onInput());
    input.addEventListener("keydown", (event) => this.onKey(event));
    input.addEventListener("paste", (event) => this.onPaste(event));
    input.addEventListener("dragstart", () => { this.isDragging = true; });
    input.addEventListener("dragend", () => { this.isDragging = false; });
    input.addEventListener("blur", () => { this.suggestions.close(); afterPress(() => { if (document.activeElement !== input) this.finishEntry(); }); });
    list.addEventListener("keydown", (event) => this.onChipKey(event));
    list.addEventListener("dblclick", (event) => this.edit(event.target.closest("li")));
  }

  get chips() { return Array.from(this.list.children); }
  get entries() { return this.chips.map((chip) => chip.dataset.entry); }
  get invalid() { return this.chips.filter((chip) => chip.classList.contains("invalid")); }

  // --- typing, pasting and dropping

  onInput() {
    const { entries, rest, isSplit } = splitTyped(this.input.value);
    if (isSplit) {
      this.suggestions.close();
      this.input.value = rest.trimStart();
      this.take(entries);
    } else {
      this.updateField();
      this.suggestions.lookUp();
    }
  }

  onPaste(event) {
    if (this.insert(event.clipboardData.getData("text/plain"), this.input.selectionStart, this.input.selectionEnd)) event.preventDefault();
  }

  onDrop(event) {
    const text = event.dataTransfer.files.length ? "" : event.dataTransfer.getData("text/plain");
    if (!text || this.isDragging) return;
    event.preventDefault();
    const end = this.input.value.length;
    if (!this.insert(text, end, end)) this.input.setRangeText(text, end, end, "end");
    this.input.focus();
    this.updateField();
  }

  // Takes whole addresses and lists at once; returns whether it did. A part of an address is left to
  // the input where it continues what is there, as "@example.org" does.
  insert(text, start, end) {
    const [before, after] = [this.input.value.slice(0, start), this.input.value.slice(end)];
    const entries = splitEntries(text);
    const isWhole = isList(text) || entries.some(parseEntry);
    if (!isWhole && continues(before, text) && continues(text, after)) return false;
    if (/[<"(]\s*$/.test(before) && entries.length === 1) return false;
    this.input.value = "";
    const isNamed = /\s$/.test(before) && entries.length === 1;
    this.take(isNamed ? splitEntries(before + text) : [...splitEntries(before), ...entries]);
    this.input.value = after.trimStart();
    this.updateField();
    return true;
  }

  // --- chips

  // Adds chips for new entries, and announces the invalid ones.
  take(entries) {
    this.add(entries);
    this.updateField();
    const invalid = entries.filter((entry) => !this.isValid(entry));
    if (invalid.length) this.status.textContent = invalid.map((entry) => uiText("invalid", entry)).join(" ");
  }

  add(entries) {
    const known = new Set(this.entries.map((entry) => parseEntry(entry)?.key));
    for (const entry of entries) {
      const key = parseEntry(entry)?.key;
      if (key === undefined || !known.has(key)) this.list.append(this.chip(entry));
      known.add(key);
    }
  }

  isValid(entry) { return parseEntry(entry) !== null && !this.rejected.has(entry); }

  chip(entry) {
    const chip = make("li", { className: "address-chip", title: entry });
    chip.dataset.entry = entry;
    const found = parseEntry(entry);
    const name = make("button", { type: "button", className: "chip-name", tabIndex: -1 });
    name.append(make("bdi", { textContent: found?.name || entry }));
    if (found?.name) name.append(" ", make("bdi", { className: "faint", textContent: found.spec }));
    const remove = make("button", { type: "button", className: "chip-remove", textContent: "×", tabIndex: -1 });
    remove.setAttribute("aria-label", uiText("remove", entry));
    remove.addEventListener("click", () => this.remove(chip));
    name.addEventListener("click", () => { if (chip.classList.contains("invalid")) this.edit(chip); });
    chip.append(name, remove);
    this.mark(chip);
    return chip;
  }

  mark(chip) {
    const { entry } = chip.dataset;
    const isInvalid = !this.isValid(entry);
    const name = chip.querySelector(".chip-name");
    chip.classList.toggle("invalid", isInvalid);
    name.tabIndex = isInvalid ? 0 : -1;
    name.setAttribute("aria-description", uiText("chipKeys"));
    if (isInvalid) name.setAttribute("aria-label", uiText("invalid", entry));
    else name.removeAttribute("aria-label");
  }

  remove(chip) {
    const next = (chip.nextElementSibling ?? chip.previousElementSibling)?.querySelector(".chip-name");
    chip.remove();
    this.updateField();
    (next ?? this.input).focus();
  }

  // Turns a chip into selected text: what is typed next replaces it.
  edit(chip) {
    if (!chip) return;
    this.finishEntry();
    chip.remove();
    this.input.value = chip.dataset.entry;
    this.updateField();
    this.input.focus();
    this.input.select();
  }

  // Makes a chip of what is in the input.
  finishEntry() {
    const entries = splitEntries(this.input.value);
    this.input.value = "";
    if (entries.length) this.take(entries);
    this.showFirstError();
  }

  // Continues in the input when the user was typing in the form's own field while this script loaded.
  resumeTyping() {
    const last = this.list.lastElementChild;
    if (last && !/[,;\n]\s*$/.test(this.field.value)) {
      this.edit(last);
      this.input.setSelectionRange(this.input.value.length, this.input.value.length);
    }
    this.input.focus();
  }

  updateField() {
    const pending = this.input.value.trim();
    const apart = pending || this.invalid.length ? "\n" : ", "; // a line break separates any entries
    const value = [...this.entries, pending].filter(Boolean).join(apart);
    if (value === this.field.value) return;
    this.field.value = value;
    this.problem = "";
    this.changed();
    if (!this.invalid.length) this.showError("");
  }

  // --- keys

  onKey(event) {
    const last = this.list.lastElementChild?.querySelector(".chip-name");
    const { value } = this.input;
    if (event.isComposing || event.keyCode === 229) return;
    if (this.suggestions.key(event)) { if (event.key === "Tab") return; }
    else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) { this.suggestions.close(); this.finishEntry(); }
    else if ((event.key === "Backspace" || event.key === "ArrowLeft") && !value && last) last.focus();
    else return;
    event.preventDefault();
  }

  onChipKey(event) {
    const chip = event.target.closest("li");
    const beside = { ArrowLeft: chip.previousElementSibling, ArrowRight: chip.nextElementSibling }[event.key];
    if (event.key === "ArrowLeft" && !beside) return;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") (beside?.querySelector(".chip-name") ?? this.input).focus();
    else if (event.key === "Backspace" || event.key === "Delete") this.remove(chip);
    else if (event.key === "F2" || (event.key === "Enter" && !event.ctrlKey && !event.metaKey && !event.target.matches(".chip-remove"))) this.edit(chip);
    else if (event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.stopPropagation(); // not a shortcut of the page
      this.input.focus(); // which receives the key
      return;
    }
    else return;
    event.preventDefault();
  }

  // --- errors

  // Shows the errors in what the server saved last.
  showServerErrors({ problem = "", entries = [] } = {}) {
    this.rejected = new Set(entries);
    for (const chip of this.chips) this.mark(chip);
    this.problem = problem;
    if (document.activeElement !== this.input) this.showFirstError();
  }

  showFirstError() {
    if (this.problem && !this.rejected.size) this.showError(this.problem);
    else if (this.invalid.length) this.showError(this.problem || uiText("invalid", this.invalid[0].dataset.entry));
  }

  showError(problem) {
    const shown = this.error?.textContent.trim() ?? "";
    this.status.textContent = ""; // the error itself is announced
    if (!this.error && problem) {
      this.error = make("p", { id: `${this.field.id}_error`, className: "error" });
      this.error.setAttribute("role", "alert");
      this.box.after(this.error);
    }
    if (this.error && shown !== problem) this.error.textContent = problem;
    this.field.closest(".field").classList.toggle("wrong", Boolean(problem));
    if (problem) { this.input.setAttribute("aria-invalid", "true"); this.input.setAttribute("aria-describedby", this.error.id); }
    else for (const name of ["aria-invalid", "aria-describedby"]) this.input.removeAttribute(name);
  }

  // Returns whether every entry is valid; otherwise shows the error.
  isSendable() {
    this.finishEntry();
    if (!this.invalid.length) return true;
    this.field.closest("details")?.setAttribute("open", "");
    this.showFirstError();
    return false;
  }

  focus() { (this.invalid[0]?.querySelector(".chip-name") ?? this.input).focus(); }
}

// Whether two adjacent texts are parts of one address or name.
const continues = (text, next) => !text || !next || /[\s@.<>"()]$/.test(text) || /^[\s@.<>"()]/.test(next);

// A new chip moves what is below it, and a button that moves between press and release is not clicked.
// So what happens on blur waits until the pointer is released.

let isPressed = false;
addEventListener("pointerdown", () => { isPressed = true; }, true);
for (const over of ["pointerup", "pointercancel", "dragend"]) addEventListener(over, () => { isPressed = false; }, true);

function afterPress(action) {
  if (isPressed) setTimeout(afterPress, 20, action);
  else action();
}

function make(tag, properties) { return Object.assign(document.createElement(tag), properties); }

function copy(attribute, from, to) {
  if (from.hasAttribute(attribute)) to.setAttribute(attribute, from.getAttribute(attribute));
}
