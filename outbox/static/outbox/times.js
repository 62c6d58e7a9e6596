// Keeps relative times true: "3m ago" would otherwise stand still while the page is open.
// The words are those of the server, see `wording.ago`.

// Pages speak of times in the reader's zone, which only the browser knows, see `person.browser_zone`.
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
if (zone) document.cookie = `outbox_time_zone=${zone}; path=/; max-age=31536000; SameSite=Lax`;

const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
const words = new Intl.RelativeTimeFormat(document.documentElement.lang, { style: "narrow" });

function relative(moment) {
  const seconds = (moment - Date.now()) / 1000;
  for (const [unit, length] of UNITS) {
    if (Math.abs(seconds) >= length) return words.format(Math.trunc(seconds / length), unit);
  }
  return null; // within a second: "now" as the server put it
}

function refresh() {
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const text = relative(new Date(time.dateTime));
    if (text !== null && time.textContent !== text) time.textContent = text;
  }
}

refresh();
setInterval(refresh, 1000);
document.addEventListener("htmx:afterSwap", refresh);
