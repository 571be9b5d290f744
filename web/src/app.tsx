/** The frame of the page: its header, where photos are dropped, and the page that is shown. */
import { useEffect, useLayoutEffect, useState } from "preact/hooks";
import { CatalogPage } from "./catalog-page";
import { photoIn } from "./choose-photo";
import { HistoryDialog } from "./history-list";
import { Icon, Mark } from "./icons";
import { pageSettings } from "./page-settings";
import { route } from "./route";
import { SearchPage } from "./search-page";
import { SettingsDialog } from "./settings-dialog";
import { apiKey } from "./settings";
import { useStore } from "./store";
import { choosePhoto, clearUpload, upload } from "./uploads";

export function App() {
  const at = useStore(route);
  const key = useStore(apiKey);
  const { title } = useStore(pageSettings);
  const [open, setOpen] = useState<"history" | "settings" | null>(null);
  const dropping = useDropAndPaste();
  useEffect(() => void pageSettings.refresh(), [key]);
  const isCatalog = at.page === "catalog";
  // Another page or another photo begins at the top; another filter or box does not.
  const place = isCatalog ? "" : (at.photo ?? at.photoId);
  useEffect(() => scrollTo(0, 0), [isCatalog, place]);
  useEffect(() => {
    document.title = isCatalog ? `Catalogue · ${title}` : title;
  }, [isCatalog, title]);
  return (
    <>
      <a class="skip" href="#main" onClick={skip}>
        Skip to the content
      </a>
      <header class="bar">
        <a class="brand" href="#/" aria-label={`${title}: start`} onClick={clearFailed}>
          <Mark />
          <span>{title}</span>
        </a>
        <nav aria-label="Main">
          <a href="#/" aria-current={isCatalog ? undefined : "page"} onClick={clearFailed}>
            Search
          </a>
          <a href="#/catalog" aria-current={isCatalog ? "page" : undefined}>
            Catalogue
          </a>
        </nav>
        <button
          type="button"
          class="icon-button"
          title="Your searches"
          aria-label="Your searches"
          onClick={() => setOpen("history")}
        >
          <Icon name="history" />
        </button>
        <button
          type="button"
          class="icon-button"
          title="Settings"
          aria-label="Settings"
          onClick={() => setOpen("settings")}
        >
          <Icon name="settings" />
        </button>
      </header>
      <main id="main" tabIndex={-1}>
        {at.page === "catalog" ? <CatalogPage at={at} /> : <SearchPage at={at} />}
      </main>
      {open === "history" && <HistoryDialog onClose={() => setOpen(null)} />}
      {open === "settings" && <SettingsDialog onClose={() => setOpen(null)} />}
      {dropping && (
        <div class="dropping" aria-hidden="true">
          <p>Drop the photo to search with it</p>
        </div>
      )}
    </>
  );
}

/** The address names a place of the page, so a link cannot jump by its fragment. */
function skip(event: Event): void {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/** Leave a photo that could not be opened: the address does not name it. */
function clearFailed(): void {
  if (upload.get().status === "failed") clearUpload();
}

/** Take photos that are dropped or pasted anywhere; say whether one hangs over the page. */
function useDropAndPaste(): boolean {
  const [dropping, setDropping] = useState(false);
  // As soon as the page is there: what is pasted at once is not missed.
  useLayoutEffect(() => {
    const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes("Files") ?? false;
    // A dialog has uses of its own for photos.
    const isTaken = () => document.querySelector("dialog[open]") !== null;
    const over = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      if (!isTaken()) setDropping(true);
    };
    const leave = (event: DragEvent) => event.relatedTarget === null && setDropping(false);
    const drop = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setDropping(false);
      const file = photoIn(event.dataTransfer);
      if (file && !isTaken()) void choosePhoto(file);
    };
    const paste = (event: ClipboardEvent) => {
      const file = photoIn(event.clipboardData);
      if (!file || isTaken()) return;
      event.preventDefault();
      void choosePhoto(file);
    };
    addEventListener("dragover", over);
    addEventListener("dragleave", leave);
    addEventListener("drop", drop);
    addEventListener("paste", paste);
    return () => {
      removeEventListener("dragover", over);
      removeEventListener("dragleave", leave);
      removeEventListener("drop", drop);
      removeEventListener("paste", paste);
    };
  }, []);
  return dropping;
}
