// Texts of the composer's scripts, which the page has in the user's language.

const texts = document.getElementById("ui-texts").dataset;

export function uiText(name, ...values) {
  return values.reduce((text, value) => text.replace("%s", value), texts[name]);
}
