/** The upload that is searched for now. */
import { type Problem, asProblem, isAborted } from "./api";
import { historyRead, pastSearches } from "./history";
import { pageSettings } from "./page-settings";
import { type QueryPhoto, openPhoto } from "./query-photo";
import { go, route } from "./route";
import { createStore } from "./store";

export type Upload =
  | { readonly status: "none" }
  | { readonly status: "opening"; readonly shown: string }
  | { readonly status: "ready"; readonly photo: QueryPhoto }
  | { readonly status: "failed"; readonly problem: Problem; readonly file: File }
  /** A link names a photo that this browser does not have. */
  | { readonly status: "missing"; readonly digest: string };

export const upload = createStore<Upload>({ status: "none" });

let opening = new AbortController();

/** Search for a photo that the user chose. The filter of the search before stays. */
export async function choosePhoto(file: File): Promise<void> {
  const photo = await open(file);
  if (!photo) return;
  const { where, group } = searchRoute();
  go({ page: "search", photo: photo.digest, ...(where && { where }), ...(group && { group }) });
}

/** Show again the photo that a link names, if the history of this browser has it. */
export async function restorePhoto(digest: string): Promise<void> {
  const now = upload.get();
  if (now.status === "ready" && now.photo.digest === digest) return;
  await historyRead;
  const past = pastSearches.get().find(({ key }) => key === digest);
  if (past?.file) await open(new File([past.file], past.name, { type: past.file.type }));
  else replace({ status: "missing", digest });
}

export function clearUpload(): void {
  replace({ status: "none" });
}

async function open(file: File): Promise<QueryPhoto | null> {
  replace({ status: "opening", shown: URL.createObjectURL(file) });
  const { signal } = opening;
  try {
    const { max_upload_bytes: most } = await pageSettings.ready();
    const photo = await openPhoto(file, most, signal);
    if (signal.aborted) return null;
    replace({ status: "ready", photo });
    return photo;
  } catch (error) {
    if (!isAborted(error) && !signal.aborted) {
      replace({ status: "failed", problem: asProblem(error), file });
    }
    return null;
  }
}

function replace(next: Upload): void {
  opening.abort();
  opening = new AbortController();
  const before = upload.get();
  upload.set(next);
  if (before.status === "opening") URL.revokeObjectURL(before.shown);
  if (before.status === "ready") URL.revokeObjectURL(before.photo.shown);
}

function searchRoute(): { where?: string; group?: "product" | "none" } {
  const now = route.get();
  return now.page === "search" ? now : {};
}
