/** On narrow screens: a way down to results that lie below the photo. */
import { useEffect, useState } from "preact/hooks";
import { Icon } from "./icons";

interface JumpProps {
  readonly text: string;
  /** The id of what it leads to. */
  readonly to: string;
}

export function Jump({ text, to }: JumpProps) {
  const [below, setBelow] = useState(false);
  useEffect(() => {
    const target = document.getElementById(to);
    if (!target) return undefined;
    const watch = new IntersectionObserver(([entry]) => {
      if (entry) setBelow(!entry.isIntersecting && entry.boundingClientRect.top > 0);
    });
    watch.observe(target);
    return () => watch.disconnect();
  }, [to]);
  if (!below) return null;
  return (
    <button
      type="button"
      class="jump"
      onClick={() => document.getElementById(to)?.scrollIntoView({ block: "start" })}
    >
      {text} <Icon name="down" />
    </button>
  );
}
