// An address field. Each recipient is a chip; what is not an address is a red chip, never text that
// later keystrokes could join. The form's own field stays, hidden, so that nothing depends on this
// script. Only what is being typed stands in the input.

import { isList, parseEntry, splitEntries, splitTyped } from "./addresses.js";
import { Suggestions } from "./suggestions.js";
import { say } from "./words.js";

export class AddressField {
  constructor(field, { suggest, changed }) {
    this.field = field;
    this.changed = changed;
    this.label = document.querySelector(`label[for="${field.id}"]`);
    this.error = document.getElementById(`${field.id}_error`);
    this.refused = new Set(); // what the server could not read
    const isWriting = document.activeElement === field;
    this.build(suggest);
    this.add(splitEntries(field.value));
    if (isWriting) this.goOn();
  }

  build(suggest) {
    const { field, label } = this;
    const name = label.textContent.trim();
    this.box = make("div", { className: "chips" });
    this.list = make("ul", { className: "chip-list" });
    this.list.setAttribute("aria-label", say("recipients", name));
    this.input = make("input", { id: `${field.id}_entry`, type: "text", autocomplete: "off", spellcheck: false, inputMode: "email", autocapitalize: "off" });
    this.status = make("span", { className: "unseen" });
    this.status.setAttribute("role", "status");
    this.suggestions = new Suggestions(this.input, {
      id: `${field.id}_options`,
      url: suggest,
      label: say("suggestions", name),
      known: () => new Set(this.entries.map((entry) => parseEntry(entry)?.spec.toLowerCase())),
      choose: (entry) => { this.input.value = ""; this.take([entry]); },
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
    box.addEventListener("drop", (event) => this.dropped(event));
    input.addEventListener("input", (event) => { if (!event.isComposing) this.typed(); });
    input.addEventListener("compositionend", () => this.typed());
    input.addEventListener("keydown", (event) => this.key(event));
    input.addEventListener("paste", (event) => this.pasted(event));
    input.addEventListener("dragstart", () => { this.isDragging = true; });
    input.addEventListener("dragend", () => { this.isDragging = false; });
    input.addEventListener("blur", () => { this.suggestions.close(); afterPress(() => { if (document.activeElement !== input) this.settle(); }); });
    list.addEventListener("keydown", (event) => this.keyOnChip(event));
    list.addEventListener("dblclick", (event) => this.edit(event.target.closest("li")));
  }

  get chips() { return Array.from(this.list.children); }
  get entries() { return this.chips.map((chip) => chip.dataset.entry); }
  get wrong() { return this.chips.filter((chip) => chip.classList.contains("invalid")); }

  // --- what is typed, pasted and dropped

  typed() {
    const { entries, rest, isSplit } = splitTyped(this.input.value);
    if (isSplit) {
      this.suggestions.close();
      this.input.value = rest.trimStart();
      this.take(entries);
    } else {
      this.keep();
      this.suggestions.lookUp();
    }
  }

  pasted(event) {
    if (this.insert(event.clipboardData.getData("text/plain"), this.input.selectionStart, this.input.selectionEnd)) event.preventDefault();
  }

  dropped(event) {
    const text = event.dataTransfer.files.length ? "" : event.dataTransfer.getData("text/plain");
    if (!text || this.isDragging) return;
    event.preventDefault();
    const end = this.input.value.length;
    if (!this.insert(text, end, end)) this.input.setRangeText(text, end, end, "end");
    this.input.focus();
    this.keep();
  }

  // Takes whole addresses and lists at once; returns whether it did. A part of an address is left to
  // the input where it continues what stands there, as "@example.org" does.
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
    this.keep();
    return true;
  }

  // --- chips

  // Makes chips of what was being typed and of more entries.
  take(entries) {
    this.add(entries);
    this.keep();
    const wrong = entries.filter((entry) => !this.isRight(entry));
    if (wrong.length) this.status.textContent = wrong.map((entry) => say("wrong", entry)).join(" ");
  }

  add(entries) {
    const known = new Set(this.entries.map((entry) => parseEntry(entry)?.key));
    for (const entry of entries) {
      const key = parseEntry(entry)?.key;
      if (key === undefined || !known.has(key)) this.list.append(this.chip(entry));
      known.add(key);
    }
  }

  isRight(entry) { return parseEntry(entry) !== null && !this.refused.has(entry); }

  chip(entry) {
    const chip = make("li", { className: "address-chip", title: entry });
    chip.dataset.entry = entry;
    const found = parseEntry(entry);
    const name = make("button", { type: "button", className: "chip-name", tabIndex: -1 });
    name.append(make("bdi", { textContent: found?.name || entry }));
    if (found?.name) name.append(" ", make("bdi", { className: "faint", textContent: found.spec }));
    const remove = make("button", { type: "button", className: "chip-remove", textContent: "×", tabIndex: -1 });
    remove.setAttribute("aria-label", say("remove", entry));
    remove.addEventListener("click", () => this.remove(chip));
    name.addEventListener("click", () => { if (chip.classList.contains("invalid")) this.edit(chip); });
    chip.append(name, remove);
    this.mark(chip);
    return chip;
  }

  mark(chip) {
    const { entry } = chip.dataset;
    const isWrong = !this.isRight(entry);
    const name = chip.querySelector(".chip-name");
    chip.classList.toggle("invalid", isWrong);
    name.tabIndex = isWrong ? 0 : -1;
    name.setAttribute("aria-description", say("chipKeys"));
    if (isWrong) name.setAttribute("aria-label", say("wrong", entry));
    else name.removeAttribute("aria-label");
  }

  remove(chip) {
    const next = (chip.nextElementSibling ?? chip.previousElementSibling)?.querySelector(".chip-name");
    chip.remove();
    this.keep();
    (next ?? this.input).focus();
  }

  // The chip's text, selected: what is typed next replaces it instead of sticking to it.
  edit(chip) {
    if (!chip) return;
    this.settle();
    chip.remove();
    this.input.value = chip.dataset.entry;
    this.keep();
    this.input.focus();
    this.input.select();
  }

  // Leaves nothing in the input.
  settle() {
    const entries = splitEntries(this.input.value);
    this.input.value = "";
    if (entries.length) this.take(entries);
    this.show();
  }

  // The user was typing in the form's own field when this script came, and types on.
  goOn() {
    const last = this.list.lastElementChild;
    if (last && !/[,;\n]\s*$/.test(this.field.value)) {
      this.edit(last);
      this.input.setSelectionRange(this.input.value.length, this.input.value.length);
    }
    this.input.focus();
  }

  keep() {
    const pending = this.input.value.trim();
    const apart = pending || this.wrong.length ? "\n" : ", "; // a line break separates whatever stands around it
    const value = [...this.entries, pending].filter(Boolean).join(apart);
    if (value === this.field.value) return;
    this.field.value = value;
    this.problem = "";
    this.changed();
    if (!this.wrong.length) this.tell("");
  }

  // --- keys

  key(event) {
    const last = this.list.lastElementChild?.querySelector(".chip-name");
    const { value } = this.input;
    if (event.isComposing || event.keyCode === 229) return;
    if (this.suggestions.key(event)) { if (event.key === "Tab") return; }
    else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) { this.suggestions.close(); this.settle(); }
    else if ((event.key === "Backspace" || event.key === "ArrowLeft") && !value && last) last.focus();
    else return;
    event.preventDefault();
  }

  keyOnChip(event) {
    const chip = event.target.closest("li");
    const beside = { ArrowLeft: chip.previousElementSibling, ArrowRight: chip.nextElementSibling }[event.key];
    if (event.key === "ArrowLeft" && !beside) return;
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") (beside?.querySelector(".chip-name") ?? this.input).focus();
    else if (event.key === "Backspace" || event.key === "Delete") this.remove(chip);
    else if (event.key === "F2" || (event.key === "Enter" && !event.ctrlKey && !event.metaKey && !event.target.matches(".chip-remove"))) this.edit(chip);
    else if (event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.stopPropagation(); // no shortcut of the page
      this.input.focus(); // and the key goes there
      return;
    }
    else return;
    event.preventDefault();
  }

  // --- what is wrong

  // What the server found wrong with what it saved last.
  hear({ problem = "", entries = [] } = {}) {
    this.refused = new Set(entries);
    for (const chip of this.chips) this.mark(chip);
    this.problem = problem;
    if (document.activeElement !== this.input) this.show();
  }

  show() {
    if (this.wrong.length) this.tell(this.problem || say("wrong", this.wrong[0].dataset.entry));
  }

  tell(problem) {
    const told = this.error?.textContent.trim() ?? "";
    if (!this.error && problem) {
      this.error = make("p", { id: `${this.field.id}_error`, className: "error" });
      this.error.setAttribute("role", "alert");
      this.box.after(this.error);
    }
    if (this.error && told !== problem) this.error.textContent = problem;
    this.field.closest(".field").classList.toggle("wrong", Boolean(problem));
    if (problem) { this.input.setAttribute("aria-invalid", "true"); this.input.setAttribute("aria-describedby", this.error.id); }
    else for (const name of ["aria-invalid", "aria-describedby"]) this.input.removeAttribute(name);
  }

  // Returns whether a message could go to all of it; else shows why, and where.
  isSendable() {
    this.settle();
    if (!this.wrong.length) return true;
    this.field.closest("details")?.setAttribute("open", "");
    this.show();
    return false;
  }

  focus() { (this.wrong[0]?.querySelector(".chip-name") ?? this.input).focus(); }
}

// Whether one text goes on with the other as part of one address or name.
const continues = (text, next) => !text || !next || /[\s@.<>"()]$/.test(text) || /^[\s@.<>"()]/.test(next);

// A chip moves what stands below it, and a button that moves between press and release is not
// clicked: what leaving a field does waits until the press that left it is over.

let isPressed = false;
addEventListener("pointerdown", () => { isPressed = true; }, true);
for (const over of ["pointerup", "pointercancel", "dragend"]) addEventListener(over, () => { isPressed = false; }, true);

function afterPress(act) {
  if (isPressed) setTimeout(afterPress, 20, act);
  else act();
}

function make(tag, properties) { return Object.assign(document.createElement(tag), properties); }

function copy(attribute, from, to) {
  if (from.hasAttribute(attribute)) to.setAttribute(attribute, from.getAttribute(attribute));
}
