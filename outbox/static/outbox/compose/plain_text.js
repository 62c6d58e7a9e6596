// Converts formatted text to plain text as the server does for a message's text part: blank lines
// between paragraphs, list markers, quotations, and links with their URL.

export function toPlainText(document) {
  return spaced(document).join("\n");
}

const children = (node) => Array.from({ length: node.childCount }, (_, index) => node.child(index));

function spaced(node) {
  return children(node).flatMap((child, index) => [...(index ? [""] : []), ...lines(child)]);
}

function lines(node) {
  switch (node.type.name) {
    case "bulletList": return children(node).flatMap((item) => marked("- ", item));
    case "orderedList": return children(node).flatMap((item, index) => marked(`${(node.attrs.start ?? 1) + index}. `, item));
    case "blockquote": return spaced(node).map((line) => `> ${line}`.trimEnd());
    case "image": return node.attrs.alt ? [`[${node.attrs.alt}]`] : [];
    default: return inline(node).split("\n");
  }
}

function marked(mark, item) {
  return children(item).flatMap(lines).map((line, index) => (index ? `  ${line}` : mark + line));
}

function inline(node) {
  let text = "";
  let shown = ""; // of the link that is open
  let target = null;
  const endLink = () => { if (target && ![target, target.replace(/^mailto:/, "")].includes(shown.trim())) text += ` <${target}>`; };
  for (const child of children(node)) {
    const href = child.marks.find((mark) => mark.type.name === "link")?.attrs.href ?? null;
    if (href !== target) {
      endLink();
      [target, shown] = [href, ""];
    }
    const piece = child.isText ? child.text : "\n";
    text += piece;
    shown += piece;
  }
  endLink();
  return text;
}
