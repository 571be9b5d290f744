/** What keeps the page from showing what was asked for, and what the user can do. */
import type { ComponentChildren } from "preact";
import { useEffect, useState } from "preact/hooks";
import type { Problem } from "./api";
import { Icon, type IconName } from "./icons";
import { KeyForm } from "./key-form";
import { apiKey } from "./settings";

interface NoticeProps {
  readonly icon?: IconName;
  readonly title: string;
  readonly children?: ComponentChildren;
  readonly actions?: ComponentChildren;
}

export function Notice({ icon = "alert", title, children, actions }: NoticeProps) {
  return (
    <div class="notice">
      <Icon name={icon} />
      <h3>{title}</h3>
      {children}
      {actions && <div class="actions">{actions}</div>}
    </div>
  );
}

interface ProblemNoticeProps {
  readonly problem: Problem;
  /** Ask once more. */
  readonly again?: () => void;
}

const UNREACHABLE_RETRY = 10; // seconds

/** Whether a key, or another key, would let the request through. */
export function needsKey({ code, status }: Problem): boolean {
  return code === "wrong_scope" || status === 401;
}

/** Show a problem. Where it passes by itself, ask again after the time that the server named. */
export function ProblemNotice({ problem, again }: ProblemNoticeProps) {
  if (needsKey(problem)) {
    const isMissing = problem.code !== "wrong_scope";
    const told = !isMissing
      ? problem.message
      : apiKey.get()
        ? "The server does not know this key."
        : "Whoever runs this server can give you one.";
    return (
      <div role="alert">
        <Notice icon="lock" title={isMissing ? "An API key is needed" : "This key may not do that"}>
          <p>{told}</p>
          <KeyForm {...(again && { onKey: again })} />
        </Notice>
      </div>
    );
  }
  const busy = problem.status === 429;
  const wait = problem.retryAfter ?? (problem.code === "unreachable" ? UNREACHABLE_RETRY : null);
  return (
    <div role="alert">
      <Notice
        title={busy ? "The server is busy" : problem.title}
        actions={
          again &&
          mayPass(problem) && (
            <button type="button" class="primary" onClick={again}>
              Try again
            </button>
          )
        }
      >
        <p>{problem.message}</p>
        {again && mayPass(problem) && wait !== null && (
          <Countdown key={problem} seconds={wait} done={again} />
        )}
      </Notice>
    </div>
  );
}

/** Whether asking for the same once more can help. */
function mayPass({ status }: Problem): boolean {
  return status === 0 || status === 408 || status === 429 || status >= 500;
}

function Countdown({ seconds, done }: { seconds: number; done: () => void }) {
  const [left, setLeft] = useState(Math.ceil(seconds));
  useEffect(() => {
    if (left <= 0) {
      done();
      return undefined;
    }
    const tick = setTimeout(() => setLeft(left - 1), 1000);
    return () => clearTimeout(tick);
  }, [left]);
  return (
    <p class="soft" aria-live="off">
      Trying again in {left} s
    </p>
  );
}
