/** What a pointer does to the box: it draws a new one, moves it or pulls one of its handles. */
import { type Box, type Size, between, inside, isWhole, limit } from "./box";

/** The part of the box that a pointer holds: an edge or a corner by its directions. */
export type Grip = "draw" | "move" | "n" | "s" | "w" | "e" | "nw" | "ne" | "sw" | "se";

export interface Point {
  readonly x: number;
  readonly y: number;
}

/** How far outside the box a handle can be taken, in pixels of the screen. */
export const REACH = 22;

/**
 * Say what a pointer at a point of the screen would hold.
 *
 * A handle reaches 22 px to each side, so it is 44 px wide. Inside a small box it reaches only so
 * far that the middle of the box can still be taken to move it.
 */
export function gripAt(point: Point, box: Box, photo: Size, scale: number, reach = REACH): Grip {
  const left = point.x - box.x * scale;
  const top = point.y - box.y * scale;
  const vertical = side(top, box.height * scale, reach, "n", "s");
  const horizontal = side(left, box.width * scale, reach, "w", "e");
  if (vertical === null || horizontal === null) return "draw";
  const grip = `${vertical}${horizontal}`;
  if (grip) return grip as Grip;
  return isWhole(box, photo) ? "draw" : "move";
}

/** Return which of two edges is near, "" for neither, null outside both. */
function side(at: number, length: number, reach: number, low: string, high: string) {
  if (at < -reach || at > length + reach) return null;
  const within = Math.min(reach, length / 4);
  if (at <= within) return low;
  return at >= length - within ? high : "";
}

/**
 * Return the box after a pointer that holds `grip` went from one point of the photo to another.
 *
 * Null where the box would be too small to be meant: then the box before it stays.
 */
export function pulled(
  grip: Grip,
  box: Box,
  from: Point,
  to: Point,
  photo: Size,
  least: number,
): Box | null {
  if (grip === "move") {
    return inside({ ...box, x: box.x + to.x - from.x, y: box.y + to.y - from.y }, photo);
  }
  if (grip === "draw") {
    return largeEnough(between(from.x, from.y, to.x, to.y, photo), least, photo);
  }
  let [left, top, right, bottom] = [box.x, box.y, box.x + box.width, box.y + box.height];
  if (grip.includes("w")) left += to.x - from.x;
  if (grip.includes("e")) right += to.x - from.x;
  if (grip.includes("n")) top += to.y - from.y;
  if (grip.includes("s")) bottom += to.y - from.y;
  // An edge that is pulled over the one across stops there.
  if (grip.includes("w")) left = Math.min(left, right - least);
  if (grip.includes("e")) right = Math.max(right, left + least);
  if (grip.includes("n")) top = Math.min(top, bottom - least);
  if (grip.includes("s")) bottom = Math.max(bottom, top + least);
  return between(left, top, right, bottom, photo);
}

/** Return the box that the arrow keys make: moved, or with Shift its right or bottom edge. */
export function stepped(box: Box, key: string, resize: boolean, step: number, photo: Size): Box {
  const x = key === "ArrowLeft" ? -step : key === "ArrowRight" ? step : 0;
  const y = key === "ArrowUp" ? -step : key === "ArrowDown" ? step : 0;
  if (!resize) return inside({ ...box, x: box.x + x, y: box.y + y }, photo);
  const width = limit(box.width + x, Math.min(step, box.width), photo.width - box.x);
  const height = limit(box.height + y, Math.min(step, box.height), photo.height - box.y);
  return { ...box, width, height };
}

function largeEnough(box: Box, least: number, photo: Size): Box | null {
  const [width, height] = [Math.min(least, photo.width), Math.min(least, photo.height)];
  return box.width >= width && box.height >= height ? box : null;
}
