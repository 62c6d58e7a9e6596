// Updates relative times, such as "3 minutes ago", while the page is open.

import { formatRelative } from "./clock.js";

// Pages show times in the user's zone, which only the browser knows, see `person.browser_zone`.
const browserZone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (browserZone) document.cookie = `outbox_time_zone=${browserZone}; path=/; max-age=31536000; SameSite=Lax`;

function refresh() {
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const text = formatRelative(new Date(time.dateTime), time.dataset.relative === "planned");
    if (time.textContent !== text) time.textContent = text;
  }
}

refresh();
setInterval(refresh, 1000);
document.addEventListener("htmx:afterSwap", refresh);
