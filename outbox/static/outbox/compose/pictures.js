// Pictures that formatted text brings along as `data:` addresses: the server gets them like any
// file, and the text their new address. The editor would drop them without a word.

import { isPicture, refuse, upload } from "./files.js";

const DATA = /^\s*data:([^;,]+)((?:;[^;,]*)*),([\s\S]*)$/i;

export const hasDataPictures = (html) => /<img[^>]+src\s*=\s*["']?\s*data:/i.test(html);

// A browser copies a picture as a file and as an <img>; with more than that, the text is meant.
export function isPictureOnly(html) {
  const page = parsed(html);
  return page.body.textContent.trim() === "" && page.images.length === 1;
}

export async function withAddresses(html) {
  const page = parsed(html);
  const found = Array.from(page.images).filter((image) => DATA.test(image.getAttribute("src") ?? ""));
  const addresses = new Map(); // the same picture twice is one file
  for (const image of found) {
    const source = image.getAttribute("src");
    if (!addresses.has(source)) addresses.set(source, send(source, image.alt));
  }
  await Promise.all(found.map(async (image) => {
    const address = await addresses.get(image.getAttribute("src"));
    if (address) image.setAttribute("src", address);
    else image.remove();
  }));
  return page.body.innerHTML;
}

function parsed(html) {
  return new DOMParser().parseFromString(html, "text/html"); // fetches and runs nothing
}

// Returns the address of the picture; one that mail programs do not display becomes an attachment.
async function send(source, alt) {
  const [, type, parameters, body] = DATA.exec(source);
  const name = `${alt || "picture"}.${type.split("/")[1]?.replace(/\W.*/, "") ?? "bin"}`;
  const content = decoded(body, /;base64/i.test(parameters));
  if (!content?.length) return refuse(name);
  const file = new File([content], name, { type: type.toLowerCase() });
  return upload(file, { inline: isPicture(file) });
}

function decoded(body, isBase64) {
  try {
    const text = decodeURIComponent(body);
    return isBase64 ? Uint8Array.from(atob(text.replace(/\s/g, "")), (char) => char.charCodeAt(0)) : text;
  } catch {
    return null;
  }
}
