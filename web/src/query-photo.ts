/** The photo that is searched for: an upload, what shows it, and the boxes proposed on it. */
import type { BoxesAnswer } from "./answers";
import { Problem, callBlob, callJson, isAborted } from "./api";
import { type Box, type Size, fromText, isWhole } from "./box";

export interface QueryPhoto extends Size {
  readonly digest: string;
  readonly file: File;
  /** An object URL of what a browser can show: the upload or a JPEG of it. */
  readonly shown: string;
  /** Where products may be, best first. */
  readonly proposed: readonly Box[];
}

const THUMBNAIL = 160;

/** What the server knows uploads by for a while. */
const tokens = new WeakMap<File, string>();

/** Read an upload. Throws `Problem` where it is no photo or too large. */
export async function openPhoto(
  file: File,
  most: number,
  signal: AbortSignal,
): Promise<QueryPhoto> {
  if (file.size > most) {
    throw new Problem(
      "photo_too_large",
      "This photo is too large",
      `It has ${megabytes(file.size)} MB; the server takes at most ${megabytes(most)} MB.`,
      { status: 413 },
    );
  }
  const own = URL.createObjectURL(file);
  const [digest, size, boxes] = await Promise.all([
    digestOf(file),
    sizeOf(own),
    propose(file, signal),
  ]);
  // The server decides how a photo is turned: every box is in its pixels.
  const upright = boxes ?? size;
  if (!upright) throw unreadable();
  const isShown = size?.width === upright.width && size.height === upright.height;
  if (isShown) return { digest, file, ...sized(upright), shown: own, proposed: boxesOf(boxes) };
  URL.revokeObjectURL(own);
  const shown = URL.createObjectURL(
    await callBlob("/v1/preview", { method: "POST", body: formOf(file), signal }),
  );
  return { digest, file, ...sized(upright), shown, proposed: boxesOf(boxes) };
}

/** Ask something of an upload, and send it only if the server does not have it any more. */
export async function postPhoto<T>(
  path: string,
  file: File,
  fields: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<T> {
  const ask = (body: FormData) => callJson<T>(path, { method: "POST", body, signal });
  const token = tokens.get(file);
  if (token) {
    try {
      return await ask(formWith({ ...fields, photo_token: token }));
    } catch (error) {
      if (!(error instanceof Problem && error.code === "photo_forgotten")) throw error;
      tokens.delete(file);
    }
  }
  return ask(formOf(file, fields));
}

/** Return the form of a request with the upload and other fields. */
export function formOf(file: Blob, fields: Readonly<Record<string, string>> = {}): FormData {
  const form = formWith(fields);
  form.set("photo", file);
  return form;
}

/** Return a form of texts. */
export function formWith(fields: Readonly<Record<string, string>>): FormData {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  return form;
}

/** Return a small JPEG of a part of the photo, or null where the browser cannot make one. */
export async function thumbnailOf(photo: QueryPhoto): Promise<Blob | null> {
  const image = new Image();
  image.src = photo.shown;
  await image.decode().catch(() => undefined);
  if (!image.naturalWidth) return null;
  const scale = Math.min(1, THUMBNAIL / Math.min(photo.width, photo.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(photo.width * scale));
  canvas.height = Math.max(1, Math.round(photo.height * scale));
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.8));
}

/** Return the size in which the browser shows a picture, or null where it cannot. */
async function sizeOf(url: string): Promise<Size | null> {
  const image = new Image();
  image.src = url;
  try {
    await image.decode();
  } catch {
    return null;
  }
  return { width: image.naturalWidth, height: image.naturalHeight };
}

/** Return the proposed boxes; null where there are none to be had, which stops nothing. */
async function propose(file: File, signal: AbortSignal): Promise<BoxesAnswer | null> {
  try {
    const body = formOf(file, { keep: "true" });
    const answer = await callJson<BoxesAnswer>("/v1/boxes", { method: "POST", body, signal });
    if (answer.photo_token) tokens.set(file, answer.photo_token);
    return answer;
  } catch (error) {
    if (isAborted(error)) throw error;
    if (error instanceof Problem && REFUSALS.has(error.code)) throw error;
    return null;
  }
}

/** Then a search would be refused as well. */
const REFUSALS = new Set([
  ...["unsupported_photo", "photo_too_large", "body_too_large"],
  ...["no_key", "wrong_scope"],
]);

function boxesOf(answer: BoxesAnswer | null): Box[] {
  const boxes = answer?.boxes.map(({ box }) => fromText(box, answer)) ?? [];
  return boxes.filter((box): box is Box => !!box && !isWhole(box, answer as Size));
}

function sized({ width, height }: Size): Size {
  return { width, height };
}

function unreadable(): Problem {
  return new Problem(
    "unsupported_photo",
    "This file is not a photo that can be read",
    "Choose a JPEG, PNG, WebP, AVIF or HEIC photo.",
    { status: 422 },
  );
}

function megabytes(bytes: number): string {
  return (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0);
}

/**
 * Return a name for the content of a file, for links and the history of this browser.
 *
 * It tells photos apart and protects nothing: `crypto.subtle` is not there on plain http.
 */
async function digestOf(file: Blob): Promise<string> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  let a = 0xdeadbeef ^ bytes.length;
  let b = 0x41c6ce57 ^ bytes.length;
  for (const byte of bytes) {
    a = Math.imul(a ^ byte, 2654435761);
    b = Math.imul(b ^ byte, 1597334677);
  }
  a = Math.imul(a ^ (a >>> 16), 2246822507) ^ Math.imul(b ^ (b >>> 13), 3266489909);
  b = Math.imul(b ^ (b >>> 16), 2246822507) ^ Math.imul(a ^ (a >>> 13), 3266489909);
  return [a, b].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("");
}
