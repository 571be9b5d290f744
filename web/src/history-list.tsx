/** Searches that this browser remembers. */
import { useEffect, useState } from "preact/hooks";
import { Dialog } from "./dialog";
import { type PastSearch, forget, forgetAll, pastSearches } from "./history";
import { Icon } from "./icons";
import { Picture } from "./picture";
import { useStore } from "./store";

interface PastSearchesProps {
  readonly most?: number;
  /** Pictures in a row, without names. */
  readonly strip?: boolean;
  readonly onChoose?: () => void;
}

export function PastSearches({ most, strip, onChoose }: PastSearchesProps) {
  const past = useStore(pastSearches);
  return (
    <ul class={strip ? "strip" : "past"}>
      {past.slice(0, most).map((search) => (
        <li key={search.key}>
          <a href={search.hash} onClick={onChoose} aria-label={`Search again: ${search.name}`}>
            <PastPicture search={search} />
            {!strip && (
              <span>
                {search.name}
                <time class="soft" dateTime={new Date(search.time).toISOString()}>
                  {whenText(search.time)}
                </time>
              </span>
            )}
          </a>
          {!strip && (
            <button
              type="button"
              class="icon-button"
              aria-label={`Forget ${search.name}`}
              onClick={() => void forget(search.key)}
            >
              <Icon name="close" />
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}

export function HistoryDialog({ onClose }: { onClose: () => void }) {
  const past = useStore(pastSearches);
  return (
    <Dialog title="Your searches" kind="drawer" onClose={onClose}>
      <p class="soft">Kept in this browser only.</p>
      {past.length === 0 ? <p>There are none yet.</p> : <PastSearches onChoose={onClose} />}
      {past.length > 0 && (
        <button type="button" onClick={() => void forgetAll()}>
          <Icon name="trash" /> Forget all
        </button>
      )}
    </Dialog>
  );
}

function PastPicture({ search: { thumbnail, thumbnailUrl, name } }: { search: PastSearch }) {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    if (!thumbnail) return undefined;
    const made = URL.createObjectURL(thumbnail);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [thumbnail]);
  if (thumbnailUrl) return <Picture src={thumbnailUrl} alt="" />;
  return <span class="picture">{url && <img src={url} alt="" title={name} />}</span>;
}

function whenText(time: number): string {
  const date = new Date(time);
  const isToday = date.toDateString() === new Date().toDateString();
  const shown: Intl.DateTimeFormatOptions = isToday
    ? { hour: "2-digit", minute: "2-digit" }
    : { day: "numeric", month: "short" };
  return new Intl.DateTimeFormat("en-GB", shown).format(date);
}
