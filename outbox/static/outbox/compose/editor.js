// Formatted text. The editor is a large script, so it is fetched when it is wanted; the form keeps
// a plain text beside it. Pictures dropped or pasted into the text go to the server like any file
// and come back with an address.

import { isPicture, upload } from "./files.js";
import { hasDataPictures, isPictureOnly, withAddresses } from "./pictures.js";
import { layOut } from "./plain.js";
import { changed } from "./saving.js";
import { styleExtensions, styleMenus } from "./styles.js";
import { say } from "./words.js";

const form = document.getElementById("compose");
const plain = form.elements.text;
const html = form.elements.html;
const tools = document.getElementById("tools");
const signs = document.getElementById("signs").content;
const PROTOCOLS = ["http", "https", "mailto", "tel"];
let editor = null;
let menus = null;

// Name, letter (else an icon is drawn), its style, what it does, and the mark that it stands for.
const TOOLS = [
  ["bold", "B", "b", (chain) => chain.toggleBold(), "bold"],
  ["italic", "I", "i", (chain) => chain.toggleItalic(), "italic"],
  ["underline", "U", "u", (chain) => chain.toggleUnderline(), "underline"],
  ["strike", "S", "s", (chain) => chain.toggleStrike(), "strike"],
  ["heading", "H", "b", (chain) => chain.toggleHeading({ level: 2 }), "heading"],
  ["bullets", "", "", (chain) => chain.toggleBulletList(), "bulletList"],
  ["numbers", "", "", (chain) => chain.toggleOrderedList(), "orderedList"],
  ["quote", "", "", (chain) => chain.toggleBlockquote(), "blockquote"],
  ["code", "", "", (chain) => chain.toggleCode(), "code"],
  ["clear", "", "", (chain) => chain.unsetAllMarks().clearNodes().resetAttributes("paragraph", "text-align")],
  ["undo", "", "", (chain) => chain.undo()],
  ["redo", "", "", (chain) => chain.redo()],
];

const rest = [...tools.children]; // what the page itself put there
tools.prepend(button("toRich", say("toRich"), "begins", open));
if ("rich" in form.dataset) open();

async function open() {
  tools.setAttribute("aria-busy", "true");
  const parts = await import(form.dataset.editor);
  tools.removeAttribute("aria-busy");
  if (editor) return;
  const writing = document.activeElement === plain; // one may type on while the script comes
  const atEnd = plain.value !== "" && plain.selectionStart === plain.value.length;
  const place = document.createElement("div");
  plain.closest(".field").after(place);
  plain.closest(".field").hidden = true;
  html.disabled = false;
  editor = new parts.Editor({
    element: place,
    injectCSS: false, // the page's policy allows no style but its sheet
    extensions: extensions(parts),
    content: html.value || paragraphs(plain.value),
    editorProps: {
      attributes: { class: "rich", role: "textbox", "aria-multiline": "true", "aria-label": say("text") },
      handlePaste: (_view, event) => take(event, event.clipboardData),
      handleDrop: (_view, event, _slice, moved) => !moved && take(event, event.dataTransfer),
    },
    onUpdate: keep,
    onTransaction: press,
  });
  build();
  press();
  if (!("rich" in form.dataset) || writing) goOn(atEnd);
}

function extensions(parts) {
  const { Document, Paragraph, Text, HardBreak, Bold, Italic, Underline, Strike, Heading, Blockquote, Code } = parts;
  const { BulletList, OrderedList, ListItem, Link, Image, History, Dropcursor, Gapcursor } = parts;
  return [
    Document, Paragraph, Text, HardBreak, Bold, Italic, Underline, Strike, Heading.configure({ levels: [2, 3] }),
    Blockquote, BulletList, OrderedList, ListItem, Code, History, ...styleExtensions(parts), Dropcursor, Gapcursor, Image.configure({ inline: false }),
    Link.configure({ openOnClick: false, protocols: PROTOCOLS, defaultProtocol: "https" }),
  ];
}

function goOn(atEnd) {
  if (atEnd) editor.commands.setTextSelection(editor.state.doc.content.size);
  editor.view.focus();
}

function build() {
  tools.setAttribute("role", "toolbar");
  tools.setAttribute("aria-label", say("toolbar"));
  const picker = Object.assign(document.createElement("input"), { type: "file", accept: "image/png,image/jpeg,image/gif,image/webp", multiple: true, hidden: true });
  picker.addEventListener("change", () => {
    for (const file of picker.files) insert(file);
    picker.value = "";
  });
  menus = styleMenus(editor);
  tools.replaceChildren(
    ...TOOLS.map(([name, sign, style, act]) => button(name, sign, style, () => act(editor.chain().focus()).run())),
    ...menus.elements,
    button("link", "", "", link),
    button("picture", "", "", () => picker.click()),
    picker,
    ...rest,
    button("toPlain", say("toPlain"), "push", close),
  );
}

function button(name, sign, style, act) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: sign, className: style, title: say(name) });
  if (!sign) made.append(signs.querySelector(`[data-sign="${name}"]`).firstElementChild.cloneNode(true));
  made.dataset.tool = name;
  if (sign !== say(name)) made.setAttribute("aria-label", say(name));
  made.addEventListener("mousedown", (event) => event.preventDefault()); // the selection stays
  made.addEventListener("click", act);
  return made;
}

// Shows on each button whether it holds where the cursor stands.
function press() {
  if (!editor) return;
  for (const [name, , , , mark] of [...TOOLS, ["link", "", "", null, "link"]]) {
    const made = tools.querySelector(`[data-tool="${name}"]`);
    if (made && mark) made.setAttribute("aria-pressed", String(editor.isActive(mark)));
  }
  menus?.show();
}

function keep() {
  html.value = editor.isEmpty ? "" : editor.getHTML();
  plain.value = layOut(editor.state.doc);
  changed();
}

function link() {
  const present = editor.getAttributes("link").href ?? "";
  const row = tools.querySelector(".link-row");
  if (row) return row.remove();
  const field = Object.assign(document.createElement("input"), { type: "url", value: present || "https://" });
  field.setAttribute("aria-label", say("address"));
  const place = document.createElement("div");
  place.className = "link-row";
  const done = () => {
    const href = field.value.trim();
    const chain = editor.chain().focus().extendMarkRange("link");
    if (!href || href === "https://") chain.unsetLink().run();
    else if (editor.state.selection.empty && !present) chain.insertContent({ type: "text", text: href, marks: [{ type: "link", attrs: { href } }] }).run();
    else chain.setLink({ href }).run();
    place.remove();
  };
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter") done();
    else if (event.key === "Escape") { place.remove(); editor.commands.focus(); }
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  place.append(field, button("link", say("link"), "", done));
  tools.append(place);
  field.select();
}

// Files that come into the text: pictures stand where they fell, everything else is attached.
function take(event, data) {
  const files = [...(data?.files ?? [])];
  const formatted = data?.getData("text/html") ?? "";
  const isText = formatted && !(files.length && isPictureOnly(formatted));
  if (isText ? !hasDataPictures(formatted) : !files.length) return false;
  event.preventDefault();
  event.stopPropagation();
  form.classList.remove("dropping");
  if (isText) withAddresses(formatted).then((html) => editor?.chain().focus().insertContent(html).run());
  else for (const file of files) isPicture(file) ? insert(file) : upload(file);
  return true;
}

async function insert(file) {
  const address = await upload(file, { inline: true });
  // Behind what is selected: that may be the picture before, which must stay.
  if (address) editor.chain().focus().insertContentAt(editor.state.selection.to, { type: "image", attrs: { src: address, alt: file.name } }).run();
}

function close() {
  if (!editor.isEmpty && !confirm(say("loses"))) return;
  plain.value = layOut(editor.state.doc);
  const place = editor.view.dom.parentElement;
  editor.destroy();
  editor = null;
  place.remove();
  html.value = "";
  tools.removeAttribute("role");
  tools.replaceChildren(button("toRich", say("toRich"), "begins", open), ...rest);
  plain.closest(".field").hidden = false;
  plain.focus();
  changed();
}

// A picture that was taken off the draft goes from the text too, and no undo brings it back.
form.addEventListener("gone", ({ detail: address }) => {
  if (!editor) return;
  const change = editor.state.tr.setMeta("addToHistory", false);
  editor.state.doc.descendants((node, at) => {
    if (node.attrs.src === address) change.delete(change.mapping.map(at), change.mapping.map(at + node.nodeSize));
  });
  editor.view.dispatch(change);
});

form.addEventListener("signed", ({ detail }) => {
  if (!editor) return;
  const [from, to] = [detail.from, detail.to].map((signature) => paragraphs(signature.trimStart()));
  const present = editor.getHTML();
  if (detail.from && present.endsWith(from)) editor.commands.setContent(present.slice(0, present.length - from.length) + to, { emitUpdate: true });
  else if (!detail.from) editor.commands.insertContentAt(editor.state.doc.content.size, to);
});

form.addEventListener("insert", async (event) => {
  const { text, html: formatted } = event.detail;
  if (!editor && !formatted) return;
  event.preventDefault();
  if (!editor) await open();
  const content = hasDataPictures(formatted) ? await withAddresses(formatted) : formatted;
  editor.chain().focus().insertContent(content || paragraphs(text)).run();
});

function paragraphs(text) {
  const escape = (line) => line.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const blocks = text.replaceAll("\r\n", "\n").split(/\n{2,}/);
  return blocks.map((block) => `<p>${block.split("\n").map(escape).join("<br>")}</p>`).join("");
}
