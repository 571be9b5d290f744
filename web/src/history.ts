/** Searches of this browser, newest first. They never leave it. */
import { createStore } from "./store";

export interface PastSearch {
  /** The digest of an upload, or `id:` and the id of a photo of the catalogue. */
  readonly key: string;
  /** Where the address leads back to it (`#/search?...`). */
  readonly hash: string;
  readonly name: string;
  /** In milliseconds since 1970. */
  readonly time: number;
  /** A small JPEG of an upload; null for photos of the catalogue. */
  readonly thumbnail: Blob | null;
  /** The upload itself. */
  readonly file: Blob | null;
  readonly thumbnailUrl?: string;
}

const MOST_SEARCHES = 40;
const MOST_BYTES = 100e6;
const NAME = "searches";

export const pastSearches = createStore<readonly PastSearch[]>([]);

/** Resolved when what earlier visits left is in `pastSearches`. */
export const historyRead: Promise<void> = readAll();

/** When searches were last remembered or forgotten, by their keys, and when all were forgotten. */
const changedAt = new Map<string, number>();
let clearedAt = 0;

/**
 * Add a search, or replace that of the same photo. The oldest are dropped when there are many.
 *
 * One that was made before the photo's last search, or before it was forgotten, is dropped: its
 * thumbnail took longer.
 */
export async function remember(search: PastSearch): Promise<void> {
  await historyRead;
  if (search.time < Math.max(clearedAt, changedAt.get(search.key) ?? 0)) return;
  changedAt.set(search.key, search.time);
  const others = pastSearches.get().filter(({ key }) => key !== search.key);
  const kept: PastSearch[] = [];
  let bytes = 0;
  for (const each of [search, ...others]) {
    bytes += each.file?.size ?? 0;
    if (kept.length < MOST_SEARCHES && (bytes <= MOST_BYTES || each === search)) kept.push(each);
  }
  pastSearches.set(kept);
  const dropped = others.filter((each) => !kept.includes(each)).map(({ key }) => key);
  await change((store) => {
    store.put(search);
    for (const key of dropped) store.delete(key);
  });
}

/** Forget a search. It is shown until it is gone for good. */
export async function forget(key: string): Promise<void> {
  const now = Date.now();
  changedAt.set(key, now);
  await change((store) => store.delete(key));
  pastSearches.set(pastSearches.get().filter((each) => each.key !== key || each.time >= now));
}

/** Forget all searches. They are shown until they are gone for good. */
export async function forgetAll(): Promise<void> {
  clearedAt = Date.now();
  await change((store) => store.clear());
  pastSearches.set(pastSearches.get().filter((each) => each.time >= clearedAt));
}

async function readAll(): Promise<void> {
  try {
    const found = await transact<PastSearch[]>("readonly", (store) => store.getAll());
    pastSearches.set(found.sort((a, b) => b.time - a.time));
  } catch {
    // A private window may have no database: then the history lasts as long as the page.
  }
}

async function change(work: (store: IDBObjectStore) => unknown): Promise<void> {
  try {
    await transact("readwrite", (store) => void work(store));
  } catch {
    // As above; or the disk is full.
  }
}

async function transact<T>(
  mode: IDBTransactionMode,
  work: (store: IDBObjectStore) => IDBRequest<T> | void,
): Promise<T> {
  const database = await open();
  try {
    return await new Promise<T>((resolve, reject) => {
      const transaction = database.transaction(NAME, mode);
      const request = work(transaction.objectStore(NAME));
      transaction.oncomplete = () => resolve((request as IDBRequest<T> | undefined)?.result as T);
      transaction.onabort = () => reject(transaction.error);
    });
  } finally {
    database.close();
  }
}

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("shoplens", 1);
    request.onupgradeneeded = () => request.result.createObjectStore(NAME, { keyPath: "key" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
