// Times in the forms of the server, see `api.times`: a 24-hour clock, and rounded relative times.

const { lang, dataset } = document.documentElement;
const words = new Intl.RelativeTimeFormat(lang);
// Seconds per step, and up to which length the step is used.
const STEPS = [["second", 1, 59.5], ["minute", 60, 3570.5], ["hour", 3600, 171000], ["day", 86400, Infinity]];

const now = new Intl.RelativeTimeFormat(lang, { numeric: "auto" }).format(0, "second");

// "in 4 minutes"; "now" also for a planned moment that has passed.
export function formatRelative(moment, isPlanned = false) {
  const seconds = (moment - Date.now()) / 1000;
  const length = Math.abs(seconds);
  if (length < 1 || (isPlanned && seconds < 0)) return now;
  const [name, size] = STEPS.find(([, , limit]) => length < limit);
  const count = Math.max(1, Math.floor(length / size + 0.5));
  // Chinese sets a space between digits and words.
  return words.format(seconds < 0 ? -count : count, name).replace(/(\d)(?=\p{Script=Han})/u, "$1 ");
}

const clock = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit", minute: "2-digit", hourCycle: "h23", timeZone: dataset.timeZone || undefined,
});

// "14:20", in the time zone of the page.
export function formatClock(moment) {
  return clock.format(moment);
}
