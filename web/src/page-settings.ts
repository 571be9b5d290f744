/** What the server tells the page about itself. */
import type { PageSettings } from "./answers";
import { callJson } from "./api";
import { createStore } from "./store";

/** Held to until the server has told: it refuses what it does not take. */
const UNKNOWN: PageSettings = {
  title: "shoplens",
  max_upload_bytes: Number.MAX_SAFE_INTEGER,
  keys_required: false,
  read_only: false,
  attributes: {},
};

const settings = createStore<PageSettings>(UNKNOWN);
let asked: Promise<PageSettings> | null = null;

export const pageSettings = {
  ...settings,
  /** Return what the server tells, or what is assumed where it cannot be asked. */
  ready(): Promise<PageSettings> {
    asked ??= ask();
    return asked;
  },
  /** Ask again: with another key, or when attributes may have changed. */
  refresh(): Promise<PageSettings> {
    asked = null;
    return this.ready();
  },
};

let asking = new AbortController();

async function ask(): Promise<PageSettings> {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  try {
    const told = await callJson<PageSettings>("/v1/page-settings", { signal });
    settings.set({ ...UNKNOWN, ...told });
  } catch {
    // Asked again meanwhile: that answer counts.
    if (signal.aborted) return pageSettings.ready();
    asked = null;
  }
  return settings.get();
}
