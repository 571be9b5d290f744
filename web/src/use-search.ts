/** The results of a search, and what keeps them from coming. */
import { useEffect, useState } from "preact/hooks";
import type { SearchAnswer } from "./answers";
import { type Problem, asProblem, callJson, isAborted } from "./api";
import { formOf } from "./query-photo";
import { apiKey } from "./settings";
import { useStore } from "./store";

export interface SearchRequest {
  /** What is searched for: equal texts mean the same photo. */
  readonly photo: string;
  /** The upload; absent for a photo of the catalogue. */
  readonly file?: File;
  readonly photoId?: string;
  readonly box?: string;
  readonly where: string;
  readonly k: number;
  readonly grouped: boolean;
}

export interface SearchState {
  /** The last answer; of an earlier request while `isBusy` or after a problem. */
  readonly answer: SearchAnswer | null;
  /** The filter of that. */
  readonly answeredWhere: string;
  readonly problem: Problem | null;
  readonly isBusy: boolean;
  /** From asking to the answer, in seconds. */
  readonly seconds: number;
  /** Search once more. */
  readonly again: () => void;
}

const NOTHING = { answer: null, answeredWhere: "", problem: null, isBusy: false, seconds: 0 };

/** Search whenever the request changes. An answer to an earlier request is dropped. */
export function useSearch(request: SearchRequest | null): SearchState {
  const [state, setState] = useState<Omit<SearchState, "again">>(NOTHING);
  const [attempt, setAttempt] = useState(0);
  const key = useStore(apiKey);
  const { file, ...rest } = request ?? {};
  const asked = request && JSON.stringify(rest);
  useEffect(() => {
    if (!request) {
      setState(NOTHING);
      return undefined;
    }
    const leaving = new AbortController();
    setState((before) => ({ ...before, isBusy: true }));
    const started = performance.now();
    callJson<SearchAnswer>("/v1/search", {
      method: "POST",
      body: formFor(request),
      signal: leaving.signal,
    })
      .then((answer) => {
        const seconds = (performance.now() - started) / 1000;
        const answeredWhere = request.where;
        if (!leaving.signal.aborted)
          setState({ answer, answeredWhere, problem: null, isBusy: false, seconds });
      })
      .catch((error: unknown) => {
        if (isAborted(error) || leaving.signal.aborted) return;
        setState((before) => ({ ...before, problem: asProblem(error), isBusy: false }));
      });
    return () => leaving.abort();
  }, [asked, attempt, key]);
  return { ...state, again: () => setAttempt((before) => before + 1) };
}

function formFor({ file, photoId, box, where, k, grouped }: SearchRequest): FormData {
  const fields: Record<string, string> = { k: String(k) };
  if (photoId !== undefined) fields["photo_id"] = photoId;
  if (box) fields["box"] = box;
  if (where) fields["where"] = where;
  if (grouped) fields["group_by"] = "product";
  if (file) return formOf(file, fields);
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  return form;
}
