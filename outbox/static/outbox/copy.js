// Copies the text beside a button, and shows and announces the result.

const status = document.getElementById("announce");
const SHOWN_FOR = 1500; // milliseconds

document.documentElement.classList.add("copying"); // the style sheets hide the buttons until this script runs

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const isCopied = await copy(button.dataset.copy);
  status.textContent = ""; // a repeated text would not be announced
  setTimeout(() => { status.textContent = isCopied ? status.dataset.copied : status.dataset.notCopied; }, 50);
  button.classList.add(isCopied ? "copied" : "not-copied");
  setTimeout(() => button.classList.remove("copied", "not-copied"), SHOWN_FOR);
});

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { // over plain HTTP there is no clipboard API
    return copyBySelection(text);
  }
}

function copyBySelection(text) {
  const focused = document.activeElement;
  const field = Object.assign(document.createElement("textarea"), { value: text, className: "unseen" });
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  focused?.focus();
  return copied;
}
