/** What photos are called. */
import { type Photo, idOf } from "./answers";

/** Attributes that hold the title of a product. */
export const TITLES: readonly string[] = ["title", "name"];

/** Return what a photo is called: its title where the catalogue has one. */
export function titleOf({ attributes, product_id, path, ...photo }: Photo): string {
  const titles = TITLES.map((name) => attributes?.[name]);
  const title = titles.find((each) => typeof each === "string" && each !== "");
  if (title) return String(title);
  if (product_id) return `Product ${product_id}`;
  return path.split("/").at(-1) || idOf({ path, ...photo });
}
