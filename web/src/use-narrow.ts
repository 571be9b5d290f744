/** Whether the page is shown in one column. */
import { useEffect, useState } from "preact/hooks";

// As in frame.css.
const NARROW = matchMedia("(max-width: 880px)");

export function useNarrow(): boolean {
  const [narrow, setNarrow] = useState(NARROW.matches);
  useEffect(() => {
    const follow = () => setNarrow(NARROW.matches);
    NARROW.addEventListener("change", follow);
    return () => NARROW.removeEventListener("change", follow);
  }, []);
  return narrow;
}
