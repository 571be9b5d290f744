/** The page before there is a photo: how to give one, and photos to begin with. */
import { useEffect, useState } from "preact/hooks";
import { type PhotosAnswer, idOf } from "./answers";
import { type Problem, asProblem, callJson, isAborted } from "./api";
import { ChooseButton } from "./choose-photo";
import { PastSearches } from "./history-list";
import { pastSearches } from "./history";
import { Notice, ProblemNotice, needsKey } from "./notice";
import { titleOf } from "./titles";
import { Picture } from "./picture";
import { toHash } from "./route";
import { apiKey } from "./settings";
import { useStore } from "./store";

const SHOWN = 12;

export function Home() {
  const { answer, problem, again } = useFirstPhotos();
  const past = useStore(pastSearches);
  const locked = problem && needsKey(problem) ? problem : null;
  return (
    <div class="home">
      <section class="hero">
        <h1>Find a product by its photo</h1>
        <p class="lead">
          Draw a box around what you are looking for, and see where the catalogue has it.
        </p>
        {locked ? (
          <ProblemNotice problem={locked} again={again} />
        ) : (
          <div class="drop">
            <i class="nw" />
            <i class="ne" />
            <i class="sw" />
            <i class="se" />
            <div class="actions">
              <ChooseButton primary>Choose a photo</ChooseButton>
              <ChooseButton camera>Take a photo</ChooseButton>
            </div>
            <p class="soft only-mouse">or drop one anywhere, or paste it</p>
          </div>
        )}
      </section>
      {past.length > 0 && (
        <section aria-labelledby="past">
          <h2 id="past">Your searches</h2>
          <PastSearches most={SHOWN} strip />
        </section>
      )}
      {problem && !locked && <ProblemNotice problem={problem} again={again} />}
      {answer && answer.n === 0 && (
        <Notice icon="empty" title="This catalogue is empty">
          <p>
            Add photos on the <a href="#/catalog">catalogue page</a>, or many at once with{" "}
            <code>shoplens index</code>.
          </p>
        </Notice>
      )}
      {answer && answer.n > 0 && (
        <section aria-labelledby="begin">
          <div class="line">
            <h2 id="begin">Or begin with a photo of the catalogue</h2>
            <a class="soft" href="#/catalog">
              All {answer.n.toLocaleString("en")} photos
            </a>
          </div>
          <ul class="strip">
            {answer.photos.map((photo) => (
              <li key={idOf(photo)}>
                <a
                  href={toHash({ page: "search", photoId: idOf(photo) })}
                  aria-label={`Search with this photo: ${titleOf(photo)}`}
                >
                  <Picture src={photo.thumbnail_url} alt="" />
                </a>
              </li>
            ))}
          </ul>
        </section>
      )}
    </div>
  );
}

function useFirstPhotos() {
  const [answer, setAnswer] = useState<PhotosAnswer | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const [attempt, setAttempt] = useState(0);
  const key = useStore(apiKey);
  useEffect(() => {
    const leaving = new AbortController();
    callJson<PhotosAnswer>(`/v1/catalog/photos?limit=${SHOWN}`, { signal: leaving.signal })
      .then((found) => {
        setAnswer(found);
        setProblem(null);
      })
      .catch((error: unknown) => isAborted(error) || setProblem(asProblem(error)));
    return () => leaving.abort();
  }, [key, attempt]);
  return { answer, problem, again: () => setAttempt(attempt + 1) };
}
