// A list of contacts that match what is typed, below an address field.

const SUGGEST_AFTER = 120;

let count = 0;

export class Suggestions {
  constructor(input, { id, url, label, known, onChoose }) {
    Object.assign(this, { input, url, known, onChoose });
    this.contacts = [];
    this.active = -1;
    this.list = Object.assign(document.createElement("ul"), { id, className: "menu suggestions", hidden: true });
    this.list.setAttribute("role", "listbox");
    this.list.setAttribute("aria-label", label);
    const roles = { role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": this.list.id };
    for (const [name, value] of Object.entries(roles)) input.setAttribute(name, value);
    this.list.addEventListener("mousedown", (event) => event.preventDefault());
    this.list.addEventListener("click", (event) => this.choose(event.target.closest("[role=option]")));
  }

  get isOpen() { return !this.list.hidden; }

  lookUp() {
    clearTimeout(this.timer);
    this.request?.abort();
    const words = this.input.value.trim();
    if (!words) return this.close();
    this.timer = setTimeout(async () => {
      this.request = new AbortController();
      try {
        const response = await fetch(`${this.url}?${new URLSearchParams({ q: words })}`, { signal: this.request.signal, redirect: "manual" });
        if (response.ok && this.input.value.trim() === words) this.show((await response.json()).contacts);
      } catch { /* aborted, or the site does not respond: the user can still type */ }
    }, SUGGEST_AFTER);
  }

  show(contacts) {
    const known = this.known();
    this.contacts = contacts.filter((contact) => !known.has(contact.address.toLowerCase()));
    this.list.replaceChildren(...this.contacts.map(option));
    this.active = this.contacts.length && document.activeElement === this.input ? 0 : -1;
    this.list.hidden = this.active < 0;
    this.mark();
  }

  // Handles a key; returns whether the list used it.
  key({ key }) {
    if (!this.isOpen) return false;
    if (key === "ArrowDown" || key === "ArrowUp") this.move(key === "ArrowDown" ? 1 : -1);
    else if (key === "Escape") this.close();
    else if ((key === "Enter" || key === "Tab") && this.active >= 0) this.choose(this.list.children[this.active]);
    else return false;
    return true;
  }

  move(step) {
    this.active = (this.active + step + this.contacts.length) % this.contacts.length;
    this.mark();
  }

  mark() {
    Array.from(this.list.children, (item, number) => item.setAttribute("aria-selected", String(number === this.active)));
    const active = this.isOpen ? this.list.children[this.active] : null;
    active?.scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-expanded", String(this.isOpen));
    this.input.setAttribute("aria-activedescendant", active?.id ?? "");
  }

  choose(item) {
    const contact = this.contacts[Array.from(this.list.children).indexOf(item)];
    if (!contact) return;
    this.close();
    this.onChoose(contact.entry);
  }

  close() {
    clearTimeout(this.timer);
    this.request?.abort();
    this.list.hidden = true;
    this.active = -1;
    this.mark();
  }
}

function option({ name, address, warning }) {
  const item = Object.assign(document.createElement("li"), { id: `option-${(count += 1)}` });
  item.setAttribute("role", "option");
  const part = (className, textContent) => Object.assign(document.createElement("bdi"), { className, textContent });
  if (name) item.append(part("option-name", name));
  item.append(part("faint", address));
  if (warning) item.append(part("option-warning", warning));
  return item;
}
