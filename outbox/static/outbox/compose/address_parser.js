// Parses typed and pasted recipients by the rules of the server's parser (outbox/mail/addresses.py).
// The tests compare the two in a browser. The server decides; this parser shows a mistake at once.

const INVISIBLE = "\\u200b\\u200e\\u200f\\u202a-\\u202e\\u2060\\u2066-\\u2069\\ufeff";
const SPACES = `\\t \\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000${INVISIBLE}`;
const WIDE = "，；、＜＞＠（）“”";
const ASCII = { "，": ",", "；": ";", "、": ";", "＜": "<", "＞": ">", "＠": "@" };
const TOKEN = new RegExp([
  String.raw`(?<quoted>"(?:[^"\\]|\\.)*")`,
  "(?<curly>“[^“”]*”)",
  String.raw`(?<literal>\[[^\[\]\\${SPACES}]*\])`,
  `(?<space>[${SPACES}]+)`,
  String.raw`(?<atom>[^${SPACES}"()<>\[\],;:@\\${WIDE}]+)`,
  "(?<mark>.)",
].join("|"), "suy");
const CONTROL = /[\x00-\x08\x0a-\x1f\x7f-\x9f\ud800-\udfff]/u;
const UNSAFE_LOCAL = new RegExp(`[<>\\u2028\\u2029${INVISIBLE}]`, "u");
const BARE_LOCAL = new RegExp(String.raw`^[^\s"(),:;<>@\[\\\]\x1c-\x1f\x85${INVISIBLE}${WIDE}]+$`, "u");
const PLAIN_NAME = new RegExp(String.raw`^[^"(),.:;<>@\[\\\]${INVISIBLE}${WIDE}]+$`, "u");
const HOST = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/i;
const MAX_DOMAIN = 255;
const MAX_ADDRESS = 254; // bytes: a path of 256 without its brackets
const NAME_WORDS = 3;
const INITIAL = /^[\p{Lu}\p{Lt}\p{Lo}]/u;
const UPPER = /^[\p{Lu}\p{Lt}]/u;

// --- tokens, none of which spans a line break

function tokenize(line) {
  const tokens = [];
  for (let at = 0; at < line.length; at += tokens.at(-1).length) tokens.push(tokenAt(line, at));
  return tokens;
}

function tokenAt(line, at) {
  if ("(（".includes(line[at])) {
    const end = commentEnd(line, at);
    const text = line.slice(at, end || undefined);
    return end ? { kind: "comment", text: `(${text.slice(1, -1)})`, length: text.length } : { kind: "open", text, length: text.length };
  }
  TOKEN.lastIndex = at;
  const { 0: text, groups } = TOKEN.exec(line);
  if (text === '"' || text === "“") return { kind: "open", text: line.slice(at), length: line.length - at };
  const kind = Object.keys(groups).find((name) => groups[name] !== undefined);
  if (kind === "curly") return { kind: "quoted", text: quote(text.slice(1, -1)), length: text.length };
  return { kind, text: ASCII[text] ?? text, length: text.length };
}

function commentEnd(line, start) {
  const mark = /\\.|[()（）]/suy;
  let depth = 0;
  for (let at = start; at < line.length; at = Math.max(at + 1, mark.lastIndex)) {
    mark.lastIndex = at;
    const found = mark.exec(line)?.[0];
    if ("(（".includes(found ?? "\n")) depth += 1;
    else if (")）".includes(found ?? "\n") && (depth -= 1) === 0) return mark.lastIndex;
  }
  return 0;
}

function trimmed(tokens) {
  const first = tokens.findIndex((token) => token.kind !== "space");
  return first < 0 ? [] : tokens.slice(first, tokens.findLastIndex((token) => token.kind !== "space") + 1);
}

const textOf = (tokens) => trimmed(tokens).map((token) => token.text).join("");

const quote = (text) => `"${text.replace(/["\\]/g, "\\$&")}"`;

export function quoteName(name) {
  const plain = PLAIN_NAME.test(name) && !name.includes("=?") && name === name.split(/[\s\x1c-\x1f\x85]+/u).filter(Boolean).join(" ");
  return plain ? name : quote(name);
}

function value(token) {
  if (token.kind === "quoted") return token.text.slice(1, -1).replace(/\\(.)/gsu, "$1");
  return token.kind === "space" ? " " : token.text;
}

const phrase = (tokens) => trimmed(tokens).map(value).join("");

// --- one mailbox

// Returns the parsed recipient, null for what is not an address.
export function parseEntry(text) {
  return /[\r\n]/.test(text) ? null : parseMailbox(tokenize(text));
}

function parseMailbox(entry) {
  if (entry.some((token) => token.kind === "open" || [":", ",", ";"].includes(token.text))) return null;
  if (CONTROL.test(textOf(entry))) return null;
  const start = entry.findIndex((token) => token.text === "<");
  if (start < 0) return mailbox(entry.find((token) => token.kind === "comment")?.text.slice(1, -1) ?? "", entry);
  const end = entry.findIndex((token, number) => number > start && token.text === ">");
  if (end < 0 || entry.slice(end + 1).some((token) => !["space", "comment"].includes(token.kind))) return null;
  const before = entry.slice(0, start);
  const found = mailbox(phrase(before), entry.slice(start + 1, end));
  const isDouble = before.some((token) => token.text === "@") && textOf(before).toLowerCase() !== found?.spec.toLowerCase();
  return isDouble ? null : found;
}

function mailbox(name, tokens) {
  const spec = tokens.filter((token) => token.kind !== "comment");
  const at = spec.findIndex((token) => token.text === "@");
  if (at < 0 || CONTROL.test(name) || name.includes("\t")) return null;
  const [local, domain] = [trimmed(spec.slice(0, at)), trimmed(spec.slice(at + 1))];
  if ([...local, ...domain].some((token) => token.kind === "space" || token.kind === "mark")) return null;
  if (domain.some((token) => token.kind === "quoted")) return null;
  return address(name, local.map(value).join(""), domain.map((token) => token.text).join(""));
}

function address(name, local, domain) {
  const host = wire(domain);
  if (!local || !host || CONTROL.test(local) || local.includes("\t")) return null;
  if (UNSAFE_LOCAL.test(local) || (local.includes(" ") && local.includes("="))) return null;
  const form = BARE_LOCAL.test(local) ? local : quote(local);
  if (new TextEncoder().encode(`${form}@${host}`).length > MAX_ADDRESS) return null;
  return { name, spec: `${form}@${domain}`, key: `${form}@${host.toLowerCase()}` };
}

// Returns the domain in ASCII, "" for an invalid one. The server checks international domains again.
function wire(domain) {
  if (domain.length > MAX_DOMAIN) return "";
  if (domain.startsWith("[")) return isLiteral(domain.slice(1, -1)) && domain.endsWith("]") ? domain : "";
  if (/^[\x00-\x7f]*$/.test(domain)) return HOST.test(domain) ? domain : "";
  if (/[.。．｡]$|[/?#%]/u.test(domain)) return "";
  try {
    const host = new URL(`http://${domain}`).hostname;
    return HOST.test(host) && host.length <= MAX_DOMAIN ? host : "";
  } catch {
    return "";
  }
}

function isLiteral(inner) {
  if (!/^ipv6:/i.test(inner)) return /^(?:(?:0|[1-9]\d?|1\d\d|2[0-4]\d|25[0-5])(?:\.(?!$)|$)){4}$/.test(inner);
  try {
    return /^[\da-f:.]+$/i.test(inner.slice(5)) && Boolean(new URL(`http://[${inner.slice(5)}]`));
  } catch {
    return false;
  }
}

// --- lists

// Splits a text into one text per recipient. What is not an address is an entry too.
export function splitEntries(text) {
  return text.split(/[\r\n]+/).flatMap((line) => lineEntries(tokenize(line)));
}

// Splits what is being typed: entries up to the last separator, and the rest. What a keystroke
// separated stays separate, even where the rules for a pasted list would join it.
export function splitTyped(text) {
  const entries = [];
  let at = 0, start = 0;
  for (const token of tokenize(text)) {
    const end = at + token.length;
    if (separates(token)) {
      entries.push(...splitEntries(text.slice(start, at)));
      start = end;
    }
    at = end;
  }
  return { entries, rest: text.slice(start), isSplit: start > 0 };
}

// Whether the text is a list, also of one: commas in quotes and parentheses separate nothing.
export const isList = (text) => /[\r\n]/.test(text.trim()) || tokenize(text).some(separates);

function separates(token) {
  return [",", ";"].includes(token.text) || (token.kind === "space" && token.text.includes("\t"));
}

function lineEntries(tokens) {
  const pieces = apart(withoutSchemes(tokens));
  const entries = [];
  for (let number = 0; number < pieces.length; number += 1) {
    const { entry, separator } = pieces[number];
    const after = separator === "," ? pieces[number + 1]?.entry ?? [] : [];
    const joined = lastNameFirst(entry, after);
    entries.push(...(joined ? [joined] : cells(entry)));
    if (joined) number += 1;
  }
  return entries;
}

function withoutSchemes(tokens) {
  const isScheme = (number) => tokens[number]?.text.toLowerCase() === "mailto" && tokens[number + 1]?.text === ":";
  return tokens.filter((_, number) => !isScheme(number) && !isScheme(number - 1));
}

function apart(tokens) {
  const pieces = [];
  const closing = tokens.findLastIndex((token) => token.text === ";");
  let entry = [], inGroup = false;
  const end = (separator) => {
    if (trimmed(entry).length) pieces.push({ entry, separator });
    entry = [];
  };
  tokens.forEach((token, number) => {
    if (token.text === "," || token.text === ";") {
      inGroup &&= token.text === ",";
      end(token.text);
    } else if (token.text === ":" && !inGroup && number < closing) {
      inGroup = trimmed(entry).length > 0 && !entry.some((one) => ["@", "<", ":"].includes(one.text));
      entry = inGroup ? [] : [...entry, token];
    } else entry.push(token);
  });
  end("");
  return pieces;
}

function lastNameFirst(piece, after) {
  const start = after.findIndex((token) => token.text === "<");
  const words = piece.filter((token) => token.kind !== "space");
  if (start < 0 || !words.length || words.length > NAME_WORDS || words.some((word) => word.kind !== "atom")) return "";
  const first = after.slice(0, start);
  if (!UPPER.test(words.at(-1).text) || !isName(first) || !UPPER.test(trimmed(first)[0].text) || !parseMailbox(after)) return "";
  return `${quoteName(`${phrase(piece)}, ${phrase(first)}`)} ${textOf(after.slice(start))}`;
}

function cells(piece) {
  const found = divided(piece, (token) => token.text.includes("\t"));
  const [names, last] = [found.slice(0, -1), found.at(-1)];
  if (names.length && names.every(isName) && isBare(last)) return [written(names, last)];
  return found.flatMap(apartBySpaces);
}

function apartBySpaces(cell) {
  if (parseMailbox(cell)) return [textOf(cell)];
  const parts = betweenAddresses(cell);
  const [names, last] = [parts.slice(0, -1), parts.at(-1)];
  if (parts.every(parseMailbox)) return parts.map(textOf);
  return isName(names.flat()) && isBare(last) ? [written(names, last)] : [textOf(cell)];
}

function betweenAddresses(cell) {
  if (!cell.some((token) => token.text === ">")) return divided(cell, () => true);
  const parts = [[]];
  for (const token of cell) {
    parts.at(-1).push(token);
    if (token.text === ">") parts.push([]);
  }
  return parts.filter((part) => trimmed(part).length);
}

function divided(tokens, at) {
  const parts = [[]];
  for (const token of tokens) {
    if (token.kind === "space" && at(token)) parts.push([]);
    else parts.at(-1).push(token);
  }
  return parts.filter((part) => trimmed(part).length);
}

const isBare = (tokens) => parseMailbox(tokens)?.name === "";

function isName(tokens) {
  const words = tokens.filter((token) => token.kind !== "space" && token.kind !== "comment");
  if (!words.length || words.some((word) => word.kind !== "atom" && word.kind !== "quoted")) return false;
  return [words[0], words.at(-1)].every((word) => word.kind === "quoted" || INITIAL.test(word.text));
}

function written(names, last) {
  const spec = textOf(last);
  return `${quoteName(names.map(phrase).join(" "))} ${spec.startsWith("<") ? spec : `<${spec}>`}`;
}
