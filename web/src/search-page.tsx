/** The page of a search: the photo with its box and the filters beside what was found. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { idOf, type Photo } from "./answers";
import { callBlob, callJson } from "./api";
import { type Box, fromText, isWhole, sameBox, toText, wholePhoto } from "./box";
import { BoxChoices, BoxFields } from "./box-choices";
import { BoxEditor } from "./box-editor";
import { ChooseButton } from "./choose-photo";
import { Filters } from "./filters";
import { Found } from "./found";
import { remember } from "./history";
import { Home } from "./home";
import { Icon } from "./icons";
import { Notice, ProblemNotice, needsKey } from "./notice";
import { pageSettings } from "./page-settings";
import { titleOf } from "./titles";
import { Picture } from "./picture";
import { type QueryPhoto, thumbnailOf } from "./query-photo";
import { Skeletons } from "./results";
import { type SearchRoute, go, route, toHash } from "./route";
import { useStore } from "./store";
import { choosePhoto, clearUpload, restorePhoto, upload } from "./uploads";
import { type SearchRequest, useSearch } from "./use-search";

const FIRST = 20; // results
const SETTLED = 300; // ms without a change of the box

export function SearchPage({ at }: { at: SearchRoute }) {
  const given = useStore(upload);
  const { attributes } = useStore(pageSettings);
  const ready = given.status === "ready" && given.photo.digest === at.photo ? given.photo : null;

  useEffect(() => {
    if (at.photo) void restorePhoto(at.photo);
    else if (upload.get().status !== "opening") clearUpload();
  }, [at.photo, at.photoId]);

  // A new photo starts with the best of the proposed boxes. At once: later the user may be elsewhere.
  useLayoutEffect(() => {
    if (!ready || at.box) return;
    const [best] = ready.proposed;
    go({ ...at, box: best ? toText(best) : "all" }, { replace: true });
  }, [ready, at.box]);

  const search = useSearch(requestOf(at, ready));
  useRemembering(at, ready, search.answer !== null && !search.isBusy && !search.problem);

  const isStarting = given.status === "opening";
  if (!at.photo && !at.photoId && !isStarting && given.status !== "failed") return <Home />;
  const filterProblem = search.problem?.code === "bad_filter" ? search.problem : null;
  const hasSide = isStarting || ready !== null || at.photoId !== undefined;
  return (
    <div class={hasSide ? "search" : "search alone"}>
      <h1 class="unseen">Search</h1>
      <div class="side" hidden={!hasSide}>
        {isStarting ? (
          <Opening shown={given.shown} />
        ) : ready ? (
          <UploadPanel photo={ready} at={at} />
        ) : at.photoId !== undefined ? (
          <CatalogPhotoPanel key={at.photoId} photoId={at.photoId} />
        ) : null}
        {(ready || at.photoId) && (
          <Filters
            where={at.where ?? ""}
            counted={search.answered?.where ?? ""}
            attributes={attributes}
            problem={filterProblem}
          />
        )}
      </div>
      <div class="found" id="results">
        {given.status === "failed" ? (
          <>
            <ProblemNotice problem={given.problem} again={() => void choosePhoto(given.file)} />
            {!needsKey(given.problem) && (
              <div class="actions centred">
                <ChooseButton>Choose another photo</ChooseButton>
              </div>
            )}
          </>
        ) : given.status === "missing" && at.photo ? (
          <Notice
            icon="photo"
            title="This photo is not on this device"
            actions={<ChooseButton primary>Choose the photo</ChooseButton>}
          >
            <p>
              The link belongs to a search with a photo that was uploaded in another browser, or
              that has been forgotten here. Choose the photo again to repeat it
              {at.where ? " with the same filter" : ""}.
            </p>
          </Notice>
        ) : isStarting || (!ready && at.photoId === undefined) ? (
          <Skeletons />
        ) : (
          <Found at={at} search={search} filterProblem={filterProblem} />
        )}
      </div>
    </div>
  );
}

function requestOf(at: SearchRoute, photo: QueryPhoto | null): SearchRequest | null {
  const common = { where: at.where ?? "", k: at.k ?? FIRST, grouped: at.group !== "none" };
  if (at.photoId !== undefined) return { ...common, photo: at.photoId, photoId: at.photoId };
  if (!photo || !at.box) return null;
  const box = at.box === "all" ? {} : { box: at.box };
  return { ...common, ...box, photo: photo.digest, file: photo.file };
}

/** Put a search that was answered into the history of this browser. */
function useRemembering(at: SearchRoute, photo: QueryPhoto | null, isAnswered: boolean): void {
  const hash = toHash(at);
  useEffect(() => {
    if (!isAnswered) return;
    const time = Date.now();
    if (photo) {
      const { digest: key, file } = photo;
      const name = file.name || "Pasted photo";
      void thumbnailOf(photo).then((thumbnail) =>
        remember({ key, hash, name, time, thumbnail, file }),
      );
    } else if (at.photoId !== undefined) {
      const id = at.photoId;
      const thumbnailUrl = `/v1/thumbnails/${encodeURIComponent(id)}`;
      const rest = { thumbnail: null, file: null, thumbnailUrl };
      void remember({ key: `id:${id}`, hash, name: `Photo ${id}`, time, ...rest });
    }
  }, [hash, isAnswered, photo]);
}

function Opening({ shown }: { shown: string }) {
  const [broken, setBroken] = useState(false);
  return (
    <section class="query" aria-label="Your photo">
      <div class="stage opening">
        {broken ? (
          <Icon name="photo" />
        ) : (
          <img src={shown} alt="" onError={() => setBroken(true)} />
        )}
        <span class="sweep" />
      </div>
      <p class="soft" role="status">
        Looking for products…
      </p>
    </section>
  );
}

function UploadPanel({ photo, at }: { photo: QueryPhoto; at: SearchRoute }) {
  const settled = (at.box && fromText(at.box, photo)) || wholePhoto(photo);
  const [box, setBox] = useState(settled);
  const waiting = useRef<ReturnType<typeof setTimeout>>(undefined);
  // At once: later it would undo what was drawn meanwhile.
  useLayoutEffect(() => setBox(settled), [photo, at.box]);
  useEffect(() => () => clearTimeout(waiting.current), [photo]);

  const search = (next: Box) => {
    clearTimeout(waiting.current);
    // The filter may have changed since the box did, and so may the place.
    const now = route.get();
    if (now.page !== "search" || now.photo !== at.photo || now.box !== at.box) return;
    const { k: _, ...rest } = now;
    go({ ...rest, box: isWhole(next, photo) ? "all" : toText(next) }, { replace: true });
  };
  const change = (next: Box, held = false) => {
    setBox(next);
    clearTimeout(waiting.current);
    if (!held && !sameBox(next, settled)) waiting.current = setTimeout(() => search(next), SETTLED);
  };
  const { shown, proposed } = photo;
  return (
    <section class="query" aria-label="Your photo">
      <div class="stage-frame">
        <BoxEditor shown={shown} photo={photo} box={box} proposed={proposed} onBox={change} />
      </div>
      {proposed.length > 0 && (
        <BoxChoices shown={shown} photo={photo} box={box} proposed={proposed} onBox={change} />
      )}
      <div class="actions">
        <button type="button" class="primary" onClick={() => search(box)}>
          <Icon name="search" /> Search
        </button>
        <ChooseButton>Other photo</ChooseButton>
        <ChooseButton camera bare>
          Take a photo
        </ChooseButton>
      </div>
      <BoxFields photo={photo} box={box} onBox={change} />
    </section>
  );
}

function CatalogPhotoPanel({ photoId }: { photoId: string }) {
  const id = encodeURIComponent(photoId);
  const [photo, setPhoto] = useState<Photo | null>(null);
  const [problem, setProblem] = useState("");
  useEffect(() => {
    callJson<Photo>(`/v1/catalog/photos/${id}`).then(setPhoto, () => undefined);
  }, [id]);
  const draw = async () => {
    try {
      const bytes = await callBlob(`/v1/photos/${id}`);
      const name = (photo?.path ?? photoId).split("/").at(-1) ?? photoId;
      await choosePhoto(new File([bytes], name, { type: bytes.type }));
    } catch (error) {
      setProblem(String((error as Error).message));
    }
  };
  return (
    <section class="query" aria-label="The photo that is searched with">
      <div class="stage catalog-photo">
        <Picture
          src={`/v1/thumbnails/${id}?size=1024`}
          alt={photo ? titleOf(photo) : `Photo ${photoId}`}
        />
      </div>
      <p class="soft">
        {photo ? `${titleOf(photo)}, from the catalogue` : "From the catalogue"}
        {photo && idOf(photo) !== titleOf(photo) && ` (photo ${idOf(photo)})`}
      </p>
      <div class="actions">
        <button type="button" onClick={() => void draw()}>
          Draw a box on it
        </button>
        <ChooseButton>Other photo</ChooseButton>
      </div>
      {problem && <p role="alert">{problem}</p>}
    </section>
  );
}
