/** Photos that were given to the catalogue and could not be read. */
import { useState } from "preact/hooks";
import type { FailedPhoto, FailuresAnswer } from "./answers";
import { type Problem, asProblem, callJson } from "./api";
import { ProblemNotice } from "./notice";

export function Failures() {
  const [failures, setFailures] = useState<readonly FailedPhoto[] | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const read = () => {
    callJson<FailuresAnswer>("/v1/catalog/failures")
      .then(({ failed_photos: found }) => {
        setFailures(found);
        setProblem(null);
      })
      .catch((error: unknown) => setProblem(asProblem(error)));
  };
  return (
    <details class="failures" onToggle={(event) => event.currentTarget.open && read()}>
      <summary>Photos that failed</summary>
      {problem && <ProblemNotice problem={problem} again={read} />}
      {failures?.length === 0 && <p class="soft">None: every photo could be read.</p>}
      {failures && failures.length > 0 && (
        <ul>
          {failures.map(({ photo_id: id, path, reason, detail }) => (
            <li key={id}>
              <strong>{path || id}</strong>
              <span class="soft">{detail || reason.replaceAll("_", " ")}</span>
            </li>
          ))}
        </ul>
      )}
    </details>
  );
}
