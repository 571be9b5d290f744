/** A value that components show and follow. */
import { useEffect, useState } from "preact/hooks";

export interface Store<T> {
  get(): T;
  set(value: T): void;
  /** Call `listener` at every change; the function that is returned ends that. */
  follow(listener: () => void): () => void;
}

export function createStore<T>(value: T): Store<T> {
  const listeners = new Set<() => void>();
  return {
    get: () => value,
    set(next) {
      if (next === value) return;
      value = next;
      for (const listener of [...listeners]) listener();
    },
    follow(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Return the store's value, and show the component again when it changes. */
export function useStore<T>(store: Store<T>): T {
  const [, show] = useState({});
  useEffect(() => {
    const seen = store.get();
    const end = store.follow(() => show({}));
    // It may have changed before this effect ran.
    if (store.get() !== seen) show({});
    return end;
  }, [store]);
  return store.get();
}
