/** What this browser keeps for the user: the API key and the theme. */
import { createStore } from "./store";

const KEY = "shoplens.key";
const THEME = "shoplens.theme";

export type Theme = "system" | "light" | "dark";

/** The API key; empty where none was entered. */
export const apiKey = createStore(stored(sessionStorage, KEY) || stored(localStorage, KEY));

/** Whether the key is kept when the browser is closed. */
export function isKeyRemembered(): boolean {
  return stored(localStorage, KEY) !== "";
}

export function enterKey(key: string, remember: boolean): void {
  sessionStorage.removeItem(KEY);
  localStorage.removeItem(KEY);
  if (key) (remember ? localStorage : sessionStorage).setItem(KEY, key);
  apiKey.set(key);
}

export const theme = createStore((stored(localStorage, THEME) || "system") as Theme);

export function chooseTheme(chosen: Theme): void {
  localStorage.setItem(THEME, chosen);
  theme.set(chosen);
}

/** Keep the colours of the page those of the theme. */
export function followTheme(): void {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    const chosen = theme.get();
    const shown = chosen === "system" ? (dark.matches ? "dark" : "light") : chosen;
    document.documentElement.dataset["theme"] = shown;
  };
  theme.follow(apply);
  dark.addEventListener("change", apply);
  apply();
}

function stored(storage: Storage, name: string): string {
  return storage.getItem(name) ?? "";
}
