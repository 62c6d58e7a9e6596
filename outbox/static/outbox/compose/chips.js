// An address field: what reads as an address becomes a chip, what does not stays text in its input.
// The field itself stays the form's, hidden, so that nothing depends on this script. Suggestions
// come from the address book.

import { say } from "./words.js";

const SUGGEST_AFTER = 120;
const ADDRESS = /^(?:[^<>]*<\s*)?(?:"(?:[^"\\]|\\.)+"|[^\s@<>()[\],;:"\\]+)@(?:[^\s@<>()[\],;:"\\.]+\.)*[^\s@<>()[\],;:"\\.]+\s*>?$/;

export function split(text) {
  const entries = [];
  let entry = "", quoted = false, angled = false;
  for (const char of text) {
    if (char === '"') quoted = !quoted;
    else if (!quoted && (char === "<" || char === ">")) angled = char === "<";
    if (!quoted && !angled && /[,;\n]/.test(char)) {
      entries.push(entry.trim());
      entry = "";
    } else entry += char;
  }
  entries.push(entry.trim());
  return entries.filter(Boolean);
}

export const reads = (entry) => ADDRESS.test(entry) && entry.includes("<") === entry.endsWith(">");

const mailbox = (entry) => (entry.match(/<\s*([^>]*?)\s*>$/)?.[1] ?? entry).toLowerCase();
const shown = (entry) => entry.replace(/\s*<[^>]*>$/, "").replace(/^"(.*)"$/, "$1").trim() || mailbox(entry);

let count = 0;

export class AddressField {
  constructor(field, { suggest, changed }) {
    this.field = field;
    this.suggestAt = suggest;
    this.changed = changed;
    this.label = document.querySelector(`label[for="${field.id}"]`);
    this.choices = [];
    this.active = -1;
    const writing = document.activeElement === field;
    this.build();
    this.take(field.value, { quiet: true });
    if (writing) this.goOn();
  }

  build() {
    const { field, label } = this;
    this.box = make("div", { className: "chips" });
    this.list = make("ul", { className: "chip-list" });
    this.list.setAttribute("aria-label", say("recipients", label.textContent.trim()));
    this.input = make("input", { id: `${field.id}_entry`, type: "text", autocomplete: "off", spellcheck: false, inputMode: "email" });
    this.options = make("ul", { id: `${field.id}_options`, className: "menu suggestions", hidden: true });
    this.options.setAttribute("role", "listbox");
    this.options.setAttribute("aria-label", say("suggestions", label.textContent.trim()));
    set(this.input, { role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": this.options.id, autocapitalize: "off" });
    for (const name of ["aria-invalid", "aria-describedby"]) if (field.hasAttribute(name)) this.input.setAttribute(name, field.getAttribute(name));
    label.htmlFor = this.input.id;
    field.hidden = true;
    this.box.append(this.list, this.input, this.options);
    field.after(this.box);
    this.error = document.getElementById(`${field.id}_error`);
    this.box.addEventListener("click", (event) => { if (event.target === this.box || event.target === this.list) this.input.focus(); });
    this.input.addEventListener("input", () => this.typed());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.input.addEventListener("paste", (event) => this.pasted(event));
    this.input.addEventListener("blur", () => { this.close(); unpressed(() => this.leave()); });
    this.list.addEventListener("keydown", (event) => this.keyOnChip(event));
    this.list.addEventListener("dblclick", (event) => this.edit(event.target.closest("li")));
    this.options.addEventListener("mousedown", (event) => event.preventDefault());
    this.options.addEventListener("click", (event) => this.choose(event.target.closest("[role=option]")));
  }

  get entries() { return Array.from(this.list.children, (chip) => chip.dataset.entry); }

  // Makes chips of what reads; the rest is left in the input to be mended.
  take(text, { quiet = false } = {}) {
    const rest = [];
    for (const entry of split(text)) {
      if (!reads(entry)) rest.push(entry);
      else if (!this.entries.some((known) => mailbox(known) === mailbox(entry))) this.list.append(this.chip(entry));
    }
    this.input.value = rest.join(", ");
    this.keep(quiet);
  }

  // What the server said of it meanwhile is told now, unless more was typed since.
  leave() {
    this.take(this.input.value);
    if (this.problem) this.tell(this.problem);
  }

  // Somebody was writing here while this script came, and writes on.
  goOn() {
    if (/[^,;\s]\s*$/.test(this.field.value) && !this.input.value) this.edit(this.list.lastElementChild);
    this.input.focus();
  }

  keep(quiet = false) {
    if (!this.input.value.trim() && this.error?.textContent) this.tell();
    const value = [...this.entries, this.input.value.trim()].filter(Boolean).join(", ");
    if (value === this.field.value) return;
    this.field.value = value;
    this.problem = undefined;
    if (!quiet) this.changed();
  }

  chip(entry) {
    const chip = make("li", { className: "address-chip", title: entry });
    chip.dataset.entry = entry;
    const name = make("bdi", { textContent: shown(entry) });
    const remove = make("button", { type: "button", textContent: "×" });
    remove.setAttribute("aria-label", say("remove", entry));
    remove.addEventListener("click", () => this.remove(chip));
    chip.append(name, remove);
    return chip;
  }

  remove(chip) {
    const next = (chip.nextElementSibling ?? chip.previousElementSibling)?.querySelector("button");
    chip.remove();
    this.keep();
    (next ?? this.input).focus();
  }

  edit(chip) {
    if (!chip) return;
    this.take(this.input.value);
    const entry = chip.dataset.entry;
    chip.remove();
    this.input.value = entry;
    this.input.focus();
    this.keep();
  }

  typed() {
    if (/[,;]\s*$/.test(this.input.value) && split(this.input.value).some(reads)) {
      this.take(this.input.value);
      this.close();
    } else {
      this.keep();
      this.lookUp();
    }
  }

  pasted(event) {
    const text = event.clipboardData.getData("text/plain");
    if (!/[,;\n]/.test(text)) return;
    event.preventDefault();
    this.take(`${this.input.value} ${text}`);
  }

  key(event) {
    const last = this.list.lastElementChild;
    const open = !this.options.hidden;
    if (event.isComposing) return;
    if (open && (event.key === "ArrowDown" || event.key === "ArrowUp")) this.move(event.key === "ArrowDown" ? 1 : -1);
    else if (open && event.key === "Escape") this.close();
    else if (open && (event.key === "Enter" || event.key === "Tab") && this.active >= 0) this.choose(this.options.children[this.active]);
    else if (event.key === "Enter" && !event.ctrlKey && !event.metaKey) { this.close(); this.take(this.input.value); }
    else if (event.key === "Backspace" && !this.input.value && last) this.edit(last);
    else if (event.key === "ArrowLeft" && !this.input.value && last) last.querySelector("button").focus();
    else return;
    if (event.key !== "Tab" || this.input.value) event.preventDefault();
  }

  keyOnChip(event) {
    const chip = event.target.closest("li");
    const beside = { ArrowLeft: chip.previousElementSibling, ArrowRight: chip.nextElementSibling }[event.key];
    if (event.key === "ArrowLeft" || event.key === "ArrowRight") (beside?.querySelector("button") ?? this.input).focus();
    else if (event.key === "Backspace" || event.key === "Delete") this.remove(chip);
    else return;
    event.preventDefault();
  }

  // What the server found wrong, told when nobody is amid typing it.
  tell(problem) {
    this.problem = problem;
    if (problem && document.activeElement === this.input) return;
    if (!this.error && problem) {
      this.error = make("p", { id: `${this.field.id}_error`, className: "error" });
      this.box.after(this.error);
    }
    if (this.error) this.error.textContent = problem ?? "";
    this.field.closest(".field").classList.toggle("wrong", Boolean(problem));
    if (problem) set(this.input, { "aria-invalid": "true", "aria-describedby": this.error.id });
    else for (const name of ["aria-invalid", "aria-describedby"]) this.input.removeAttribute(name);
  }

  lookUp() {
    clearTimeout(this.timer);
    this.asked?.abort();
    const words = this.input.value.trim();
    if (!words) return this.close();
    this.timer = setTimeout(async () => {
      this.asked = new AbortController();
      try {
        const url = `${this.suggestAt}?${new URLSearchParams({ q: words })}`;
        const answer = await fetch(url, { signal: this.asked.signal, redirect: "manual" });
        if (answer.ok && this.input.value.trim() === words) this.offer((await answer.json()).contacts);
      } catch { /* superseded, or the site is away: one can type on */ }
    }, SUGGEST_AFTER);
  }

  offer(contacts) {
    const known = new Set(this.entries.map(mailbox));
    this.choices = contacts.filter((contact) => !known.has(contact.address.toLowerCase()));
    this.options.replaceChildren(...this.choices.map((contact) => this.option(contact)));
    this.active = this.choices.length && document.activeElement === this.input ? 0 : -1;
    this.options.hidden = this.active < 0;
    this.mark();
  }

  option({ name, address, warning }) {
    const option = make("li", { id: `option-${(count += 1)}` });
    set(option, { role: "option", "aria-selected": "false" });
    if (name) option.append(make("bdi", { className: "option-name", textContent: name }));
    option.append(make("bdi", { className: "faint", textContent: address }));
    if (warning) option.append(make("bdi", { className: "option-warning", textContent: warning }));
    return option;
  }

  move(step) {
    this.active = (this.active + step + this.choices.length) % this.choices.length;
    this.mark();
  }

  mark() {
    Array.from(this.options.children, (option, n) => option.setAttribute("aria-selected", String(n === this.active)));
    this.options.children[this.active]?.scrollIntoView({ block: "nearest" });
    const active = this.options.hidden ? "" : this.options.children[this.active]?.id ?? "";
    set(this.input, { "aria-expanded": String(!this.options.hidden), "aria-activedescendant": active });
  }

  choose(option) {
    const contact = this.choices[Array.from(this.options.children).indexOf(option)];
    if (!contact) return;
    this.take(contact.entry);
    this.close();
  }

  close() {
    clearTimeout(this.timer);
    this.asked?.abort();
    this.options.hidden = true;
    this.active = -1;
    this.mark();
  }
}

// A chip moves what stands below it, and a button that moves between press and release is not
// clicked: what leaving a field does waits until the press that left it is over.

let pressed = false;
addEventListener("pointerdown", () => { pressed = true; }, true);
for (const over of ["pointerup", "pointercancel", "dragend"]) addEventListener(over, () => { pressed = false; }, true);

function unpressed(act) {
  if (pressed) setTimeout(unpressed, 20, act);
  else act();
}

function make(tag, properties) { return Object.assign(document.createElement(tag), properties); }

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
}
