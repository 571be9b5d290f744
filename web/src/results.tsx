/** What was found: a grid of cards. */
import { useState } from "preact/hooks";
import { type Hit, type SearchAnswer, type View, idOf } from "./answers";
import { label, valueText } from "./filters";
import { Icon } from "./icons";
import { PhotoDialog } from "./photo-dialog";
import { TITLES, titleOf } from "./titles";
import { Picture } from "./picture";
import { type SearchRoute, toHash } from "./route";
import type { SearchRequest } from "./use-search";

interface ResultsProps {
  readonly answer: SearchAnswer;
  /** The search that these results are of. */
  readonly at: SearchRoute;
  readonly query: SearchRequest | null;
}

const MOST_FACTS = 3;
const MOST_VIEWS = 4;

export function Results({ answer, at, query }: ResultsProps) {
  const [open, setOpen] = useState<Hit | null>(null);
  const isReranked = !!answer.chain?.length;
  return (
    <>
      <ol class="grid">
        {answer.hits.map((hit) => (
          <Card
            key={idOf(hit)}
            hit={hit}
            at={at}
            isReranked={isReranked}
            confidence={answer.no_match ? undefined : hit.confidence}
            onOpen={() => setOpen(hit)}
          />
        ))}
      </ol>
      {open && (
        <PhotoDialog
          photo={open}
          query={query}
          isReranked={isReranked}
          onClose={() => setOpen(null)}
          onPhoto={(view) => setOpen({ ...open, ...view })}
        />
      )}
    </>
  );
}

interface CardProps {
  readonly hit: Hit;
  readonly at: SearchRoute;
  readonly isReranked: boolean;
  /** Absent where the search is not sure enough of any product. */
  readonly confidence: number | undefined;
  readonly onOpen: () => void;
}

function Card({ hit, at, isReranked, confidence, onOpen }: CardProps) {
  const title = titleOf(hit);
  const facts = Object.entries(hit.attributes ?? {}).filter(
    ([name, value]) => value !== null && !TITLES.includes(name),
  );
  const others = (hit.photos ?? []).filter((view) => idOf(view) !== idOf(hit));
  return (
    <li class="card">
      <a class="shot" href={searchWith(hit, at)} aria-label={`Search with this photo: ${title}`}>
        <Picture src={hit.thumbnail_url} alt="" />
        <span class="hint" aria-hidden="true">
          <Icon name="search" /> Search with this
        </span>
      </a>
      <div class="about">
        <div class="line">
          <h3 title={title}>{title}</h3>
          <button
            type="button"
            class="icon-button"
            aria-label={`Details: ${title}`}
            onClick={onOpen}
          >
            <Icon name="expand" />
          </button>
        </div>
        <Score score={hit.score} isReranked={isReranked} />
        {confidence !== undefined && <Confidence share={confidence} />}
        {facts.length > 0 && (
          <dl class="facts">
            {facts.slice(0, MOST_FACTS).map(([name, value]) => (
              <div key={name}>
                <dt>{label(name)}</dt>
                <dd>{valueText(value)}</dd>
              </div>
            ))}
          </dl>
        )}
        {others.length > 0 && (
          <div class="views">
            {others.slice(0, MOST_VIEWS).map((view) => (
              <a
                key={idOf(view)}
                href={searchWith(view, at)}
                aria-label={`Search with another photo of it, ${scoreName(isReranked)} ${view.score.toFixed(2)}`}
              >
                <Picture src={view.thumbnail_url} alt="" />
              </a>
            ))}
            {others.length > MOST_VIEWS && (
              <button type="button" class="more-views" onClick={onOpen}>
                +{others.length - MOST_VIEWS}
                <span class="unseen"> more photos of {title}</span>
              </button>
            )}
          </div>
        )}
      </div>
    </li>
  );
}

/** What the score of a hit is called. */
function scoreName(isReranked: boolean): string {
  return isReranked ? "score" : "similarity";
}

/** The score as a number and a bar: a similarity goes from 0, unrelated, to 1, the same. */
function Score({ score, isReranked }: { score: number; isReranked: boolean }) {
  const share = Math.max(0, Math.min(1, score));
  const meaning = isReranked
    ? "Score after re-ranking: the higher, the better"
    : "Cosine similarity to your photo: 1 is the same";
  return (
    <div class="score" title={meaning}>
      <span class="track" aria-hidden="true">
        <span style={{ width: `${100 * share}%` }} />
      </span>
      <span>
        <span class="unseen">{scoreName(isReranked)} </span>
        {score.toFixed(2)}
      </span>
    </div>
  );
}

/** How likely it is the same product. */
function Confidence({ share }: { share: number }) {
  return <p class="soft confidence">{percent(share)} likely the same product</p>;
}

/** Whole percents; no more is known than that something is nearly sure. */
function percent(share: number): string {
  if (share < 0.01) return "under 1 %";
  return share > 0.99 ? "over 99 %" : `${Math.round(100 * share)} %`;
}

/** Cards before the first answer. */
export function Skeletons() {
  return (
    <div class="grid" aria-hidden="true">
      {Array.from({ length: 8 }, (_, i) => (
        <div class="card skeleton" key={i}>
          <div class="shot" />
          <div class="about">
            <i />
            <i />
          </div>
        </div>
      ))}
    </div>
  );
}

/** Where a click on a photo leads: a search with it, under the same filter. */
function searchWith(photo: View, { where, group }: SearchRoute): string {
  const kept = { ...(where && { where }), ...(group && { group }) };
  return toHash({ page: "search", photoId: idOf(photo), ...kept });
}
