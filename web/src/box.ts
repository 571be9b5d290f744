/** Boxes: in whole pixels of the upright photo. */

export interface Size {
  readonly width: number;
  readonly height: number;
}

export interface Box extends Size {
  readonly x: number;
  readonly y: number;
}

export function wholePhoto({ width, height }: Size): Box {
  return { x: 0, y: 0, width, height };
}

export function isWhole(box: Box, photo: Size): boolean {
  return box.width === photo.width && box.height === photo.height;
}

export function sameBox(a: Box, b: Box): boolean {
  return a.x === b.x && a.y === b.y && a.width === b.width && a.height === b.height;
}

/** Return the box as the server reads it: `x,y,w,h`. */
export function toText({ x, y, width, height }: Box): string {
  return `${x},${y},${width},${height}`;
}

/** Return the box of a text, inside the photo; null where the text is none. */
export function fromText(text: string, photo: Size): Box | null {
  const [x, y, width, height, ...rest] = text.split(",").map(Number);
  if (rest.length > 0 || x === undefined || y === undefined) return null;
  if (!width || !height || ![x, y, width, height].every(Number.isFinite)) return null;
  if (width < 0 || height < 0) return null;
  return inside({ x, y, width, height }, photo);
}

/** Return the box in whole pixels, at least one, moved and then cut so that it is in the photo. */
export function inside(box: Box, photo: Size): Box {
  const width = limit(Math.round(box.width), 1, photo.width);
  const height = limit(Math.round(box.height), 1, photo.height);
  const x = limit(Math.round(box.x), 0, photo.width - width);
  const y = limit(Math.round(box.y), 0, photo.height - height);
  return { x, y, width, height };
}

/** Return the box between two corners, cut at the edges of the photo. */
export function between(ax: number, ay: number, bx: number, by: number, photo: Size): Box {
  const [left, right] = span(ax, bx, photo.width);
  const [top, bottom] = span(ay, by, photo.height);
  return { x: left, y: top, width: right - left, height: bottom - top };
}

function span(a: number, b: number, end: number): [number, number] {
  const low = limit(Math.round(Math.min(a, b)), 0, end - 1);
  return [low, limit(Math.round(Math.max(a, b)), low + 1, end)];
}

export function limit(value: number, low: number, high: number): number {
  return Math.min(Math.max(value, low), high);
}
