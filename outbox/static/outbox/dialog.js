// Shows a page's content in a dialog: links with hx-target="#dialog" load it, and this script opens
// and closes the dialog.

const dialog = document.getElementById("dialog");

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target === dialog && !dialog.open) dialog.showModal();
});

dialog?.addEventListener("click", (event) => {
  const isOutside = event.target === dialog && !isInside(event);
  if (isOutside || event.target.closest("[data-close]")) {
    event.preventDefault();
    dialog.close();
  }
});

function isInside(event) {
  const box = dialog.getBoundingClientRect();
  return event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
}
