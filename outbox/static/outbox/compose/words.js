// What the composer's scripts say; the page holds it in the reader's language.

const words = document.getElementById("words").dataset;

export function say(name, ...values) {
  return values.reduce((text, value) => text.replace("%s", value), words[name]);
}
