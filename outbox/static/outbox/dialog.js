// Asks questions in a dialog instead of on a page of their own: links with hx-target="#dialog" bring
// the question, and only the wish to close it is handled here.

const dialog = document.getElementById("dialog");

document.addEventListener("htmx:afterSwap", (event) => {
  if (event.target === dialog && !dialog.open) dialog.showModal();
});

dialog?.addEventListener("click", (event) => {
  const outside = event.target === dialog && !inside(event);
  if (outside || event.target.closest("[data-close]")) {
    event.preventDefault();
    dialog.close();
  }
});

function inside(event) {
  const box = dialog.getBoundingClientRect();
  return event.clientX >= box.left && event.clientX <= box.right && event.clientY >= box.top && event.clientY <= box.bottom;
}
