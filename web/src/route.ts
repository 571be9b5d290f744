/** Where the user is: the part of the address after `#`. It restores a search. */
import { createStore } from "./store";

export interface SearchRoute {
  readonly page: "search";
  /** The photo that was uploaded, by its digest (see `digest`). */
  readonly photo?: string;
  /** Or a photo of the catalogue. */
  readonly photoId?: string;
  /** `x,y,w,h`, or `all` for the whole photo; absent until it is known. */
  readonly box?: string;
  readonly where?: string;
  readonly k?: number;
  readonly group?: "product" | "none";
}

export interface CatalogRoute {
  readonly page: "catalog";
  readonly where?: string;
}

export type Route = SearchRoute | CatalogRoute;

export const MOST = 1000;

export function parseRoute(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const given = new URLSearchParams(query);
  const text = (name: string) => given.get(name) || undefined;
  const where = text("where");
  if (path === "catalog") return clean<CatalogRoute>({ page: "catalog", where });
  const k = Number(text("k"));
  return clean<SearchRoute>({
    page: "search",
    photo: text("photo"),
    photoId: text("photo_id"),
    box: text("box"),
    where,
    k: Number.isInteger(k) && k > 0 && k <= MOST ? k : undefined,
    group: text("group") === "none" ? "none" : undefined,
  });
}

export function toHash(route: Route): string {
  const query = new URLSearchParams();
  const add = (name: string, value: string | number | undefined) => {
    if (value !== undefined && value !== "") query.set(name, String(value));
  };
  if (route.page === "search") {
    add("photo", route.photo);
    add("photo_id", route.photoId);
    add("box", route.box);
    add("k", route.k);
    add("group", route.group === "none" ? "none" : undefined);
  }
  add("where", route.where);
  const text = query.toString().replaceAll("%2C", ",");
  const path = route.page === "catalog" ? "catalog" : text ? "search" : "";
  return `#/${path}${text && `?${text}`}`;
}

export const route = createStore(parseRoute(location.hash));

addEventListener("hashchange", () => route.set(parseRoute(location.hash)));
addEventListener("popstate", () => route.set(parseRoute(location.hash)));

/** Go to a place. `replace`: without a step that the browser's Back button would undo. */
export function go(to: Route, { replace = false } = {}): void {
  const hash = toHash(to);
  if (hash === toHash(route.get())) return;
  history[replace ? "replaceState" : "pushState"](null, "", hash);
  route.set(parseRoute(hash));
}

/** Go to the same place with another filter, made of the one that is there now. */
export function refilter(change: (where: string) => string): void {
  const now = route.get();
  const where = change(now.where ?? "");
  if (now.page === "catalog") return go({ ...now, where });
  const { k: _, ...rest } = now;
  return go({ ...rest, where });
}

/** Drop what is undefined, so that equal routes have equal keys. */
function clean<T extends object>(values: { [K in keyof T]: T[K] | undefined }): T {
  const kept = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(kept) as T;
}
