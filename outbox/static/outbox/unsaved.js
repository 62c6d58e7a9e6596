// Keeps in this browser what the composer could not save, under a mark of its user, for a day.

const PREFIX = "outbox:unsaved:";
const KEPT_FOR = 24 * 60 * 60 * 1000;
const SAVED = /(?:^|; )outbox_saved=([\w-]+)/;

// Returns whether it was stored; the browser may be out of space, or allow no storage.
export function keep(user, entry) {
  try {
    localStorage.setItem(keyOf(user, entry.mark), JSON.stringify({ ...entry, at: Date.now() }));
    return true;
  } catch {
    return false;
  }
}

export function drop(user, mark) {
  try { localStorage.removeItem(keyOf(user, mark)); } catch { /* nothing is stored there */ }
}

// Returns the user's entries, the latest first.
export function entriesOf(user) {
  return all().filter(([key]) => key.startsWith(keyOf(user, ""))).map(([, entry]) => entry).sort((a, b) => b.at - a.at);
}

const keyOf = (user, mark) => `${PREFIX}${user}:${mark}`;

function all() {
  try {
    const keys = Object.keys(localStorage).filter((key) => key.startsWith(PREFIX));
    return keys.map((key) => [key, read(key)]);
  } catch {
    return [];
  }
}

function read(key) {
  try { return JSON.parse(localStorage.getItem(key)) ?? {}; } catch { return {}; }
}

function dropWhere(condition) {
  for (const [key, entry] of all()) if (condition(key, entry)) localStorage.removeItem(key);
}

dropWhere((_key, entry) => !(entry.at > Date.now() - KEPT_FOR));

// The server saved a form that this browser kept.
const saved = SAVED.exec(document.cookie)?.[1];
if (saved) {
  dropWhere((key) => key.endsWith(`:${saved}`));
  document.cookie = "outbox_saved=; path=/; max-age=0; samesite=lax";
}

document.addEventListener("submit", (event) => {
  const user = event.target.dataset?.signOut;
  if (user) dropWhere((key) => key.startsWith(keyOf(user, "")));
});
