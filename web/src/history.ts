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

/** Add a search, or replace that of the same photo. The oldest are dropped when there are many. */
export async function remember(search: PastSearch): Promise<void> {
  await historyRead;
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

export async function forget(key: string): Promise<void> {
  pastSearches.set(pastSearches.get().filter((each) => each.key !== key));
  await change((store) => store.delete(key));
}

export async function forgetAll(): Promise<void> {
  pastSearches.set([]);
  await change((store) => store.clear());
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
