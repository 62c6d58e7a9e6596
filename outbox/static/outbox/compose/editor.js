// The editor for formatted text. It is a large script, so it is loaded when it is needed. The form keeps
// a plain text beside it. Pictures dropped or pasted into the text are uploaded like any file and
// displayed by their URL.

import { isPicture, upload } from "./uploads.js";
import { hasDataPictures, isPictureOnly, uploadDataPictures } from "./pictures.js";
import { toPlainText } from "./plain_text.js";
import { changed } from "./autosave.js";
import { styleExtensions, styleMenus } from "./text_styles.js";
import { uiText } from "./ui_texts.js";

const form = document.getElementById("compose");
const plain = form.elements.text;
const html = form.elements.html;
const tools = document.getElementById("tools");
const icons = document.getElementById("icons").content;
const PROTOCOLS = ["http", "https", "mailto", "tel"];
let editor = null;
let menus = null;

// Name, letter (or "" for an icon), its style, its command, and the mark or node that it toggles.
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

const pageTools = [...tools.children];
tools.prepend(button("toRich", uiText("toRich"), "begins", open));
if ("rich" in form.dataset) open();

async function open() {
  tools.setAttribute("aria-busy", "true");
  const parts = await import(form.dataset.editor);
  tools.removeAttribute("aria-busy");
  if (editor) return;
  const isTyping = document.activeElement === plain; // the user may type while the script loads
  const atEnd = plain.value !== "" && plain.selectionStart === plain.value.length;
  const container = document.createElement("div");
  plain.closest(".field").after(container);
  plain.closest(".field").hidden = true;
  html.disabled = false;
  editor = new parts.Editor({
    element: container,
    injectCSS: false, // the page's policy allows no inline styles
    extensions: extensions(parts),
    content: html.value || paragraphs(plain.value),
    editorProps: {
      attributes: { class: "rich", role: "textbox", "aria-multiline": "true", "aria-label": uiText("text") },
      handlePaste: (_view, event) => handleFiles(event, event.clipboardData),
      handleDrop: (_view, event, _slice, moved) => !moved && handleFiles(event, event.dataTransfer),
    },
    onUpdate: updateFields,
    onTransaction: showState,
  });
  build();
  showState();
  if (!("rich" in form.dataset) || isTyping) resumeTyping(atEnd);
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

function resumeTyping(atEnd) {
  if (atEnd) editor.commands.setTextSelection(editor.state.doc.content.size);
  editor.view.focus();
}

function build() {
  tools.setAttribute("role", "toolbar");
  tools.setAttribute("aria-label", uiText("toolbar"));
  const picker = Object.assign(document.createElement("input"), { type: "file", accept: "image/png,image/jpeg,image/gif,image/webp", multiple: true, hidden: true });
  picker.addEventListener("change", () => {
    for (const file of picker.files) insert(file);
    picker.value = "";
  });
  menus = styleMenus(editor);
  tools.replaceChildren(
    ...TOOLS.map(([name, letter, style, command]) => button(name, letter, style, () => command(editor.chain().focus()).run())),
    ...menus.elements,
    button("link", "", "", link),
    button("picture", "", "", () => picker.click()),
    picker,
    ...pageTools,
    button("toPlain", uiText("toPlain"), "push", close),
  );
}

function button(name, letter, style, action) {
  const made = Object.assign(document.createElement("button"), { type: "button", textContent: letter, className: style, title: uiText(name) });
  if (!letter) made.append(icons.querySelector(`[data-icon="${name}"]`).firstElementChild.cloneNode(true));
  made.dataset.tool = name;
  if (letter !== uiText(name)) made.setAttribute("aria-label", uiText(name));
  made.addEventListener("mousedown", (event) => event.preventDefault()); // the selection stays
  made.addEventListener("click", action);
  return made;
}

// Shows on each button whether its format applies at the cursor.
function showState() {
  if (!editor) return;
  for (const [name, , , , mark] of [...TOOLS, ["link", "", "", null, "link"]]) {
    const made = tools.querySelector(`[data-tool="${name}"]`);
    if (made && mark) made.setAttribute("aria-pressed", String(editor.isActive(mark)));
  }
  menus?.show();
}

function updateFields() {
  html.value = editor.isEmpty ? "" : editor.getHTML();
  plain.value = toPlainText(editor.state.doc);
  changed();
}

function link() {
  const current = editor.getAttributes("link").href ?? "";
  const row = tools.querySelector(".link-row");
  if (row) return row.remove();
  const field = Object.assign(document.createElement("input"), { type: "url", value: current || "https://" });
  field.setAttribute("aria-label", uiText("address"));
  const place = document.createElement("div");
  place.className = "link-row";
  const done = () => {
    const href = field.value.trim();
    const chain = editor.chain().focus().extendMarkRange("link");
    if (!href || href === "https://") chain.unsetLink().run();
    else if (editor.state.selection.empty && !current) chain.insertContent({ type: "text", text: href, marks: [{ type: "link", attrs: { href } }] }).run();
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
  place.append(field, button("link", uiText("link"), "", done));
  tools.append(place);
  field.select();
}

// Handles pasted and dropped files: pictures are inserted at the cursor, other files are attached.
function handleFiles(event, data) {
  const files = [...(data?.files ?? [])];
  const formatted = data?.getData("text/html") ?? "";
  const isText = formatted && !(files.length && isPictureOnly(formatted));
  if (isText ? !hasDataPictures(formatted) : !files.length) return false;
  event.preventDefault();
  event.stopPropagation();
  form.classList.remove("dropping");
  if (isText) uploadDataPictures(formatted).then((html) => editor?.chain().focus().insertContent(html).run());
  else for (const file of files) isPicture(file) ? insert(file) : upload(file);
  return true;
}

async function insert(file) {
  const url = await upload(file, { inline: true });
  // After the selection, which may be the previous picture: inserting must not replace it.
  if (url) editor.chain().focus().insertContentAt(editor.state.selection.to, { type: "image", attrs: { src: url, alt: file.name } }).run();
}

function close() {
  if (!editor.isEmpty && !confirm(uiText("loses"))) return;
  plain.value = toPlainText(editor.state.doc);
  const place = editor.view.dom.parentElement;
  editor.destroy();
  editor = null;
  place.remove();
  html.value = "";
  tools.removeAttribute("role");
  tools.replaceChildren(button("toRich", uiText("toRich"), "begins", open), ...pageTools);
  plain.closest(".field").hidden = false;
  plain.focus();
  changed();
}

// A picture that was removed from the draft is removed from the text too, and undo does not restore it.
form.addEventListener("removed", ({ detail: url }) => {
  if (!editor) return;
  const change = editor.state.tr.setMeta("addToHistory", false);
  editor.state.doc.descendants((node, at) => {
    if (node.attrs.src === url) change.delete(change.mapping.map(at), change.mapping.map(at + node.nodeSize));
  });
  editor.view.dispatch(change);
});

form.addEventListener("signed", ({ detail }) => {
  if (!editor) return;
  const [from, to] = [detail.from, detail.to].map((signature) => paragraphs(signature.trimStart()));
  const current = editor.getHTML();
  if (detail.from && current.endsWith(from)) editor.commands.setContent(current.slice(0, current.length - from.length) + to, { emitUpdate: true });
  else if (!detail.from) editor.commands.insertContentAt(editor.state.doc.content.size, to);
});

form.addEventListener("insert", async (event) => {
  const { text, html: formatted } = event.detail;
  if (!editor && !formatted) return;
  event.preventDefault();
  if (!editor) await open();
  const content = hasDataPictures(formatted) ? await uploadDataPictures(formatted) : formatted;
  editor.chain().focus().insertContent(content || paragraphs(text)).run();
});

function paragraphs(text) {
  const escape = (line) => line.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const blocks = text.replaceAll("\r\n", "\n").split(/\n{2,}/);
  return blocks.map((block) => `<p>${block.split("\n").map(escape).join("<br>")}</p>`).join("");
}
