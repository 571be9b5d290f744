/** One photo of the catalogue, large, with all that is known about it. */
import { useState } from "preact/hooks";
import { type Hit, type Photo, type View, idOf } from "./answers";
import { Dialog } from "./dialog";
import { label, valueText } from "./filters";
import { Picture } from "./picture";
import { toHash } from "./route";
import { titleOf } from "./titles";
import type { SearchRequest } from "./use-search";
import { Why } from "./why";

interface PhotoDialogProps {
  readonly photo: Photo & Partial<Hit>;
  /** The search that found it. */
  readonly query?: SearchRequest | null;
  readonly isReranked?: boolean;
  readonly onClose: () => void;
  readonly onPhoto: (photo: View) => void;
}

export function PhotoDialog({ photo, query, isReranked, onClose, onPhoto }: PhotoDialogProps) {
  const [explained, setExplained] = useState(false);
  const facts: [string, string][] = [["Photo", photo.path || idOf(photo)]];
  if (photo.product_id) facts.unshift(["Product", photo.product_id]);
  if (photo.score !== undefined) {
    facts.push([isReranked ? "Score" : "Similarity", photo.score.toFixed(3)]);
  }
  for (const [name, value] of Object.entries(photo.attributes ?? {})) {
    if (value !== null) facts.push([label(name), valueText(value)]);
  }
  const views = photo.photos ?? [];
  return (
    <Dialog title={titleOf(photo)} kind="wide" onClose={onClose}>
      <div class="photo-sheet">
        {query && explained ? (
          <Why query={query} photo={photo} />
        ) : (
          <Picture
            src={photo.photo_url}
            instead={`${photo.thumbnail_url.split("?")[0]}?size=1024`}
            alt={`Photo ${photo.path || idOf(photo)}`}
          />
        )}
        <div>
          {views.length > 1 && (
            <div class="views" role="group" aria-label="Photos of this product">
              {views.map((view) => (
                <button
                  type="button"
                  key={idOf(view)}
                  aria-pressed={idOf(view) === idOf(photo)}
                  onClick={() => onPhoto(view)}
                >
                  <Picture src={view.thumbnail_url} alt={`Photo ${view.path || idOf(view)}`} />
                </button>
              ))}
            </div>
          )}
          <a
            class="button primary"
            href={toHash({ page: "search", photoId: idOf(photo) })}
            onClick={onClose}
          >
            Search with this photo
          </a>
          {query && (
            <button type="button" onClick={() => setExplained(!explained)}>
              {explained ? "Show the photo" : "Why?"}
            </button>
          )}
          <dl>
            {facts.map(([name, value]) => (
              <div key={name}>
                <dt>{name}</dt>
                <dd>{value}</dd>
              </div>
            ))}
          </dl>
        </div>
      </div>
    </Dialog>
  );
}
