/** A part of the page that is folded away where there is one column. */
import type { ComponentChildren } from "preact";
import { useState } from "preact/hooks";
import { Icon, type IconName } from "./icons";
import { useNarrow } from "./use-narrow";

interface FoldProps {
  readonly icon: IconName;
  readonly title: string;
  readonly children: ComponentChildren;
}

export function Fold({ icon, title, children }: FoldProps) {
  const narrow = useNarrow();
  const [open, setOpen] = useState(false);
  if (!narrow) return <>{children}</>;
  return (
    <div class="fold">
      <button type="button" aria-expanded={open} onClick={() => setOpen(!open)}>
        <Icon name={icon} />
        {title}
        <Icon name={open ? "up" : "down"} />
      </button>
      {open && children}
    </div>
  );
}
