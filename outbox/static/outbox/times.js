// Keeps relative times true: "3 minutes ago" would otherwise stand still while the page is open.

import { formatRelative } from "./clock.js";

// Pages speak of times in the reader's zone, which only the browser knows, see `person.browser_zone`.
const browserZone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (browserZone) document.cookie = `outbox_time_zone=${browserZone}; path=/; max-age=31536000; SameSite=Lax`;

function refresh() {
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const text = formatRelative(new Date(time.dateTime));
    if (text !== null && time.textContent !== text) time.textContent = text;
  }
}

refresh();
setInterval(refresh, 1000);
document.addEventListener("htmx:afterSwap", refresh);
