// Uploads the `data:` pictures of pasted HTML and replaces them with their URLs. The editor would drop
// them silently.

import { isPicture, refuse, upload } from "./uploads.js";

const DATA = /^\s*data:([^;,]+)((?:;[^;,]*)*),([\s\S]*)$/i;

export const hasDataPictures = (html) => /<img[^>]+src\s*=\s*["']?\s*data:/i.test(html);

// A browser copies a picture both as a file and as an <img>. With any more content, the text is meant.
export function isPictureOnly(html) {
  const page = parsed(html);
  return page.body.textContent.trim() === "" && page.images.length === 1;
}

export async function uploadDataPictures(html) {
  const page = parsed(html);
  const found = Array.from(page.images).filter((image) => DATA.test(image.getAttribute("src") ?? ""));
  const urls = new Map(); // a repeated picture is one file
  for (const image of found) {
    const source = image.getAttribute("src");
    if (!urls.has(source)) urls.set(source, send(source, image.alt));
  }
  await Promise.all(found.map(async (image) => {
    const url = await urls.get(image.getAttribute("src"));
    if (url) image.setAttribute("src", url);
    else image.remove();
  }));
  return page.body.innerHTML;
}

function parsed(html) {
  return new DOMParser().parseFromString(html, "text/html"); // it loads and runs nothing
}

// Returns the URL of the picture; a type that mail programs do not display becomes an attachment.
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
