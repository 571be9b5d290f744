/** The page of the catalogue: browse, filter, add and remove photos, see what failed. */
import { useEffect, useRef, useState } from "preact/hooks";
import { type Photo, type PhotosAnswer, type View, idOf } from "./answers";
import { AddPhotoDialog } from "./add-photo";
import { type Problem, asProblem, callJson } from "./api";
import { Dialog } from "./dialog";
import { Failures } from "./failures";
import { Filters } from "./filters";
import { Icon } from "./icons";
import { Notice, ProblemNotice } from "./notice";
import { pageSettings } from "./page-settings";
import { PhotoDialog } from "./photo-dialog";
import { titleOf } from "./titles";
import { Picture } from "./picture";
import { type CatalogRoute } from "./route";
import { Skeletons } from "./results";
import { apiKey } from "./settings";
import { useStore } from "./store";

const PAGE = 48; // photos

export function CatalogPage({ at }: { at: CatalogRoute }) {
  const where = at.where ?? "";
  const { attributes, read_only: readOnly } = useStore(pageSettings);
  const list = usePhotos(where);
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const [open, setOpen] = useState<Photo | null>(null);
  const [dialog, setDialog] = useState<"add" | "remove" | null>(null);
  const [told, setTold] = useState("");
  useEffect(() => setChosen(new Set()), [where]);

  const toggle = (id: string) => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    setChosen(next);
  };
  const changed = (message: string) => {
    setDialog(null);
    setChosen(new Set());
    setTold(message);
    list.again();
    void pageSettings.refresh();
  };
  const filterProblem = list.problem?.code === "bad_filter" ? list.problem : null;
  const { n, photos, problem } = list;
  return (
    <div class="search">
      <div class="side">
        <h1>Catalogue</h1>
        {readOnly ? (
          <p class="soft">This server does not change its catalogue.</p>
        ) : (
          <div class="actions">
            <button type="button" class="primary" onClick={() => setDialog("add")}>
              <Icon name="plus" /> Add a photo
            </button>
          </div>
        )}
        <Filters
          where={where}
          counted={list.where}
          attributes={attributes}
          problem={filterProblem}
        />
        <Failures />
      </div>
      <section class="found" aria-labelledby="photos-title">
        <div class="line toolbar">
          <div>
            <h2 id="photos-title">{n === null ? "Photos" : counted(n)}</h2>
            <p class="soft" role="status">
              {told || (where ? "that pass the filter" : "in the catalogue")}
            </p>
          </div>
          {chosen.size > 0 && (
            <div class="line">
              <button type="button" class="quiet" onClick={() => setChosen(new Set())}>
                Choose none
              </button>
              <button type="button" class="danger" onClick={() => setDialog("remove")}>
                <Icon name="trash" /> Remove {chosen.size}
              </button>
            </div>
          )}
        </div>
        <div class={list.isBusy ? "progress" : "progress done"} aria-hidden="true" />
        {problem && !filterProblem && <ProblemNotice problem={problem} again={list.again} />}
        {!problem && n === null && <Skeletons />}
        {!problem && n === 0 && (
          <Notice icon="empty" title={where ? "No photo passes the filter" : "No photos yet"}>
            {!where && (
              <p>
                Add one here, or many at once with <code>shoplens index</code>.
              </p>
            )}
          </Notice>
        )}
        <ul class="grid small">
          {photos.map((photo) => {
            const id = idOf(photo);
            const name = (
              <span>
                {titleOf(photo)}
                <span class="soft">{photo.path.split("/").at(-1) || id}</span>
              </span>
            );
            return (
              <li class={chosen.has(id) ? "card chosen" : "card"} key={id}>
                <button
                  type="button"
                  class="shot"
                  aria-label={`Details: ${titleOf(photo)}, photo ${id}`}
                  onClick={() => setOpen(photo)}
                >
                  <Picture src={photo.thumbnail_url} alt="" />
                </button>
                {readOnly ? (
                  <p class="about choose">{name}</p>
                ) : (
                  <label class="about choose">
                    <input type="checkbox" checked={chosen.has(id)} onChange={() => toggle(id)} />
                    {name}
                  </label>
                )}
              </li>
            );
          })}
        </ul>
        {list.next && (
          <div class="actions centred">
            <button type="button" disabled={list.isBusy} onClick={list.more}>
              Show more
            </button>
          </div>
        )}
      </section>
      {open && (
        <PhotoDialog
          photo={open}
          onClose={() => setOpen(null)}
          onPhoto={(view: View) => setOpen(view)}
        />
      )}
      {dialog === "add" && (
        <AddPhotoDialog attributes={attributes} onClose={() => setDialog(null)} onAdded={changed} />
      )}
      {dialog === "remove" && (
        <RemoveDialog ids={[...chosen]} onClose={() => setDialog(null)} onRemoved={changed} />
      )}
    </div>
  );
}

interface RemoveDialogProps {
  readonly ids: readonly string[];
  readonly onClose: () => void;
  readonly onRemoved: (message: string) => void;
}

function RemoveDialog({ ids, onClose, onRemoved }: RemoveDialogProps) {
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isBusy, setBusy] = useState(false);
  const remove = async () => {
    setBusy(true);
    try {
      let n = 0;
      for (const id of ids) {
        const path = `/v1/catalog/photos/${encodeURIComponent(id)}`;
        n += (await callJson<{ n_removed: number }>(path, { method: "DELETE" })).n_removed;
      }
      onRemoved(`${counted(n)} removed`);
    } catch (error) {
      setProblem(asProblem(error));
      setBusy(false);
    }
  };
  return (
    <Dialog title={`Remove ${counted(ids.length)}?`} onClose={onClose}>
      <p>
        Searches will not find {ids.length === 1 ? "it" : "them"} any more. This cannot be undone.
        Files that were indexed from a folder stay there.
      </p>
      {problem && <ProblemNotice problem={problem} />}
      <div class="actions">
        <button type="button" class="danger" disabled={isBusy} onClick={() => void remove()}>
          {isBusy ? "Removing…" : "Remove"}
        </button>
        <button type="button" onClick={onClose}>
          Cancel
        </button>
      </div>
    </Dialog>
  );
}

interface PhotoList {
  readonly photos: readonly Photo[];
  /** How many photos pass the filter; null until it is known. */
  readonly n: number | null;
  readonly next: string | null;
  /** The filter that they passed. */
  readonly where: string;
  readonly problem: Problem | null;
  readonly isBusy: boolean;
}

/** Read the list of photos page by page. */
function usePhotos(where: string) {
  const [list, setList] = useState<PhotoList>(UNREAD);
  const [attempt, setAttempt] = useState(0);
  const key = useStore(apiKey);
  const reading = useRef(new AbortController());
  // What is read last counts: an answer to an earlier request is dropped.
  const read = async (before: PhotoList) => {
    reading.current.abort();
    reading.current = new AbortController();
    const { signal } = reading.current;
    setList({ ...before, isBusy: true });
    const query = new URLSearchParams({ limit: String(PAGE) });
    if (where) query.set("where", where);
    if (before.next) query.set("after", before.next);
    try {
      const path = `/v1/catalog/photos?${query}`;
      const { photos, next, n } = await callJson<PhotosAnswer>(path, { signal });
      const all = [...before.photos, ...photos];
      if (!signal.aborted) setList({ photos: all, n, next, where, problem: null, isBusy: false });
    } catch (error) {
      if (!signal.aborted) setList({ ...before, problem: asProblem(error), isBusy: false });
    }
  };
  useEffect(() => {
    void read({ ...UNREAD, where: list.where });
    return () => reading.current.abort();
  }, [where, attempt, key]);
  return { ...list, more: () => void read(list), again: () => setAttempt((n) => n + 1) };
}

const UNREAD: PhotoList = {
  photos: [],
  n: null,
  next: null,
  where: "",
  problem: null,
  isBusy: false,
};

function counted(n: number): string {
  return `${n.toLocaleString("en")} ${n === 1 ? "photo" : "photos"}`;
}
