/** What a search found, and the controls of the list. */
import { useState } from "preact/hooks";
import type { SearchAnswer } from "./answers";
import type { Problem } from "./api";
import { FilterProblem } from "./filters";
import { Icon } from "./icons";
import { Jump } from "./jump";
import { Notice, ProblemNotice } from "./notice";
import { Results, Skeletons } from "./results";
import { MOST, type SearchRoute, go } from "./route";
import { useNarrow } from "./use-narrow";
import type { SearchState } from "./use-search";

interface FoundProps {
  readonly at: SearchRoute;
  readonly search: SearchState;
  readonly filterProblem: Problem | null;
}

export function Found({ at, search, filterProblem }: FoundProps) {
  const { answer, problem, isBusy, again } = search;
  const narrow = useNarrow();
  const grouped = at.group !== "none";
  const n = answer?.hits.length ?? 0;
  const noun = grouped ? (n === 1 ? "product" : "products") : n === 1 ? "photo" : "photos";
  const nouns = grouped ? "products" : "photos";
  const asked = at.k ?? 20;
  const isMore = !isBusy && !problem && n >= asked && asked < MOST;
  return (
    <section aria-labelledby="found-title" aria-busy={isBusy}>
      <div class="line toolbar">
        <div>
          <h2 id="found-title">{answer && !problem ? `${n} ${noun}` : "Results"}</h2>
          {answer && !problem && <Facts search={search} />}
        </div>
        <div class="line">
          <fieldset class="segments">
            <legend class="unseen">Show</legend>
            <label>
              <input
                type="radio"
                name="group"
                checked={grouped}
                onChange={() => go(without(at, "group"))}
              />
              <span>Products</span>
            </label>
            <label>
              <input
                type="radio"
                name="group"
                checked={!grouped}
                onChange={() => go({ ...at, group: "none" })}
              />
              <span>Photos</span>
            </label>
          </fieldset>
          <CopyLink />
        </div>
      </div>
      {narrow && !isBusy && !problem && n > 0 && <Jump text={`${n} ${noun}`} to="results" />}
      <p class="unseen" role="status">
        {isBusy
          ? "Searching"
          : problem
            ? ""
            : `${n} ${noun} found${answer?.no_match ? `. ${doubt(answer)}` : ""}`}
      </p>
      <div class={isBusy ? "progress" : "progress done"} aria-hidden="true" />
      {problem ? (
        filterProblem ? (
          <div role="alert">
            <Notice icon="filter" title="The filter cannot be read">
              <FilterProblem text={at.where ?? ""} problem={filterProblem} />
            </Notice>
          </div>
        ) : (
          <ProblemNotice problem={problem} again={again} />
        )
      ) : !answer ? (
        <Skeletons />
      ) : n === 0 ? (
        <Notice
          icon="empty"
          title="Nothing was found"
          actions={
            at.where && (
              <button type="button" class="primary" onClick={() => go(without(at, "where"))}>
                Remove the filter
              </button>
            )
          }
        >
          <p>{at.where ? "No photo passes the filter." : "The catalogue has no photos yet."}</p>
        </Notice>
      ) : (
        <div class={isBusy ? "stale" : ""}>
          {answer.no_match && (
            <p class="unmatched">
              <Icon name="alert" /> {doubt(answer)} These are the most similar {nouns}.
            </p>
          )}
          <Results answer={answer} at={at} query={search.answered} />
        </div>
      )}
      {isMore && (
        <div class="actions centred">
          <button
            type="button"
            onClick={() => go({ ...at, k: Math.min(MOST, asked * 2) }, { replace: true })}
          >
            Show more
          </button>
        </div>
      )}
    </section>
  );
}

/** What is said of a search that is not sure enough of any product. */
function doubt({ confidence = 0 }: SearchAnswer): string {
  return `${confidence < 0.5 ? "Probably" : "Possibly"} not in this catalogue.`;
}

/** How the search was done, for those who want to know. */
function Facts({ search: { answer, seconds } }: { search: SearchState }) {
  if (!answer) return null;
  const photos = answer.n_gallery.toLocaleString("en");
  return (
    <p class="soft">
      {Math.max(1, Math.round(seconds * 1000))} ms · {photos} photos{" "}
      {answer.exact ? (
        "compared exactly"
      ) : (
        <span title="An index looked at the most promising photos only">
          searched approximately
        </span>
      )}
      {!!answer.chain?.length && (
        <span title={answer.chain.join(", ")}>
          {" "}
          · re-ranked by {answer.chain.map(nameOf).join(", ")}
        </span>
      )}
      {answer.query?.clipped && " · the box was cut at the edge of the photo"}
    </p>
  );
}

/** The method of a step of a chain, without its settings. */
function nameOf(step: string): string {
  return step.replace(/:.*/, "");
}

function CopyLink() {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(location.href);
    } catch {
      // No clipboard on plain http: the address bar has the same link.
      return;
    }
    setCopied(true);
    setTimeout(() => setCopied(false), 2000);
  };
  return (
    <button
      type="button"
      class="icon-button"
      title="Copy a link to this search"
      onClick={() => void copy()}
    >
      <Icon name={copied ? "check" : "link"} />
      <span class="unseen" aria-live="polite">
        {copied ? "The link was copied" : "Copy a link to this search"}
      </span>
    </button>
  );
}

function without(at: SearchRoute, name: "group" | "where"): SearchRoute {
  const { [name]: _, k: __, ...rest } = at;
  return rest;
}
