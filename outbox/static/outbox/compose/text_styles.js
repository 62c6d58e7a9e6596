// Color, size and alignment of formatted text, as style attributes that mail programs support. They are
// parsed from the attribute's text, since the page's policy does not apply inline styles.

import { uiText } from "./ui_texts.js";

// The choices of each menu: the CSS value ("" for the default) and the name of its text.
const COLORS = [["", "defaultColor"], ["#b3261e", "red"], ["#b45309", "orange"], ["#15803d", "green"], ["#1d4ed8", "blue"], ["#7e22ce", "purple"], ["#6b7280", "gray"]];
const SIZES = [["13px", "small"], ["", "defaultSize"], ["20px", "large"], ["28px", "huge"]];
const ALIGNMENTS = [["", "left"], ["center", "center"], ["right", "right"]];
const BLOCKS = ["paragraph", "heading"];

export function styleExtensions({ Extension, TextStyle, getStyleProperty }) {
  const attribute = (property) => ({
    default: null,
    parseHTML: (element) => inHex(getStyleProperty(element, property)),
    renderHTML: (attributes) => {
      const value = attributes[property];
      return value ? { style: `${property}: ${value}` } : {};
    },
  });
  const Styles = Extension.create({
    name: "styles",
    addGlobalAttributes: () => [
      { types: ["textStyle"], attributes: { color: attribute("color"), "font-size": attribute("font-size") } },
      { types: BLOCKS, attributes: { "text-align": attribute("text-align") } },
    ],
  });
  return [TextStyle, Styles];
}

// Browsers write "#b3261e" as "rgb(179, 38, 30)".
function inHex(value) {
  const numbers = value?.match(/^rgb\((\d+), ?(\d+), ?(\d+)\)$/)?.slice(1);
  return numbers ? `#${numbers.map((number) => Number(number).toString(16).padStart(2, "0")).join("")}` : value ?? null;
}

// Returns the menus of the toolbar, and a function that shows the style at the cursor in them.
export function styleMenus(editor) {
  const mark = (property) => (value) => editor.chain().focus().setMark("textStyle", { [property]: value || null }).removeEmptyTextStyle().run();
  const align = (value) => BLOCKS.reduce((chain, type) => chain.updateAttributes(type, { "text-align": value || null }), editor.chain().focus()).run();
  const text = (property) => () => editor.getAttributes("textStyle")[property] ?? "";
  const menus = [
    menu("size", SIZES, mark("font-size"), text("font-size")),
    menu("color", COLORS, mark("color"), text("color")),
    menu("alignment", ALIGNMENTS, align, () => BLOCKS.map((type) => editor.getAttributes(type)["text-align"]).find(Boolean) ?? ""),
  ];
  return { elements: menus.map(({ select }) => select), show: () => { for (const { show } of menus) show(); } };
}

function menu(name, choices, apply, current) {
  const select = Object.assign(document.createElement("select"), { title: uiText(name) });
  select.setAttribute("aria-label", uiText(name));
  select.append(...choices.map(([value, name]) => new Option(uiText(name), value)));
  select.addEventListener("change", () => apply(select.value));
  return { select, show: () => { select.value = choices.some(([value]) => value === current()) ? current() : ""; } };
}
