/** The results of a search, and what keeps them from coming. */
import { useEffect, useState } from "preact/hooks";
import type { SearchAnswer } from "./answers";
import { type Problem, asProblem, callJson, isAborted } from "./api";
import { formWith, postPhoto } from "./query-photo";
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
  /** The request that it answers. */
  readonly answered: SearchRequest | null;
  readonly problem: Problem | null;
  readonly isBusy: boolean;
  /** From asking to the answer, in seconds. */
  readonly seconds: number;
  /** Search once more. */
  readonly again: () => void;
}

interface Ended extends Omit<SearchState, "isBusy" | "again"> {
  /** What was asked when the last search ended, in an answer or a problem. */
  readonly asked: string | null;
}

const NOTHING: Ended = { asked: null, answer: null, answered: null, problem: null, seconds: 0 };

/** Search whenever the request changes. An answer to an earlier request is dropped. */
export function useSearch(request: SearchRequest | null): SearchState {
  const [{ asked: ended, ...state }, setState] = useState(NOTHING);
  const [attempt, setAttempt] = useState(0);
  const key = useStore(apiKey);
  const { file, ...rest } = request ?? {};
  const asked = request && JSON.stringify([rest, attempt, key]);
  useEffect(() => {
    if (!request) {
      setState(NOTHING);
      return undefined;
    }
    const leaving = new AbortController();
    const started = performance.now();
    search(request, leaving.signal)
      .then((answer) => {
        const seconds = (performance.now() - started) / 1000;
        if (!leaving.signal.aborted)
          setState({ asked, answer, answered: request, problem: null, seconds });
      })
      .catch((error: unknown) => {
        if (isAborted(error) || leaving.signal.aborted) return;
        setState((before) => ({ ...before, asked, problem: asProblem(error) }));
      });
    return () => leaving.abort();
  }, [asked]);
  // From the moment that something else is asked for, before the effect runs.
  const isBusy = asked !== ended;
  return { ...state, isBusy, again: () => setAttempt((before) => before + 1) };
}

function search(request: SearchRequest, signal: AbortSignal): Promise<SearchAnswer> {
  const { file, photoId, box, where, k, grouped } = request;
  const fields: Record<string, string> = { k: String(k) };
  if (photoId !== undefined) fields["photo_id"] = photoId;
  if (box) fields["box"] = box;
  if (where) fields["where"] = where;
  if (grouped) fields["group_by"] = "product";
  if (file) return postPhoto("/v1/search", file, fields, signal);
  return callJson("/v1/search", { method: "POST", body: formWith(fields), signal });
}
