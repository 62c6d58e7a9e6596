// Copies what stands beside a button, as it is shown, and says so to eyes and ears.

const voice = document.getElementById("announce");
const SHOWN_FOR = 1500; // milliseconds

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const copied = await put(button.dataset.copy);
  voice.textContent = ""; // the same words again would not be read
  setTimeout(() => { voice.textContent = copied ? voice.dataset.copied : voice.dataset.notCopied; }, 50);
  button.classList.add(copied ? "copied" : "not-copied");
  setTimeout(() => button.classList.remove("copied", "not-copied"), SHOWN_FOR);
});

async function put(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch { // over plain http there is no clipboard
    return putBySelection(text);
  }
}

function putBySelection(text) {
  const focused = document.activeElement;
  const place = Object.assign(document.createElement("textarea"), { value: text, className: "unseen" });
  document.body.append(place);
  place.select();
  const copied = document.execCommand("copy");
  place.remove();
  focused?.focus();
  return copied;
}
