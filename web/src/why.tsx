/** Why a photo matches: heat maps over what was searched for and over the photo. */
import type { ComponentChildren } from "preact";
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { type ExplainAnswer, type MatchedRegion, type Photo, idOf } from "./answers";
import { type Problem, asProblem, callJson, isAborted } from "./api";
import { fromText, wholePhoto } from "./box";
import { Picture } from "./picture";
import { formWith, postPhoto } from "./query-photo";
import { useStore } from "./store";
import { upload } from "./uploads";
import type { SearchRequest } from "./use-search";

const HOT = [213, 94, 0];
const COVER = 0.75; // of the picture, by the hottest place

interface WhyProps {
  /** The search that found the photo. */
  readonly query: SearchRequest;
  readonly photo: Photo;
}

export function Why({ query, photo }: WhyProps) {
  const [found, setFound] = useState<ExplainAnswer | null>(null);
  const [problem, setProblem] = useState<Problem | null>(null);
  const given = useStore(upload);
  const id = idOf(photo);
  useEffect(() => {
    const leaving = new AbortController();
    setFound(null);
    setProblem(null);
    explain(query, id, leaving.signal)
      .then((answer) => !leaving.signal.aborted && setFound(answer))
      .catch((error: unknown) => {
        if (!isAborted(error) && !leaving.signal.aborted) setProblem(asProblem(error));
      });
    return () => leaving.abort();
  }, [query, id]);
  if (problem) return <p role="alert">{problem.message}</p>;
  const shown = given.status === "ready" ? given.photo.shown : "";
  return (
    <div class="why" aria-busy={!found}>
      <p class="soft" role="status">
        {found
          ? "Orange where the two photos match. The score says how well."
          : "Comparing the photos"}
      </p>
      {found && (
        <div class="maps">
          <HeatMap region={found.query} caption="What you searched for">
            {query.photoId === undefined ? (
              <img src={shown} alt="What you searched for, orange where it matches" />
            ) : (
              <Picture
                src={large(query.photoId)}
                alt="What you searched for, orange where it matches"
              />
            )}
          </HeatMap>
          <HeatMap region={found.result} caption="What was found">
            <Picture src={large(id)} alt="What was found, orange where it matches" />
          </HeatMap>
        </div>
      )}
    </div>
  );
}

interface HeatMapProps {
  readonly region: MatchedRegion;
  readonly caption: string;
  readonly children: ComponentChildren;
}

function HeatMap({ region, caption, children }: HeatMapProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { heat, width, height } = region;
  useLayoutEffect(() => {
    if (canvas.current) draw(canvas.current, heat);
  }, [heat]);
  const box = fromText(region.box, region) ?? wholePhoto(region);
  const share = (part: number, whole: number) => `${(100 * part) / whole}%`;
  return (
    <figure>
      <div class="heat" style={{ aspectRatio: `${width} / ${height}` }}>
        {children}
        <canvas
          ref={canvas}
          aria-hidden="true"
          style={{
            left: share(box.x, width),
            top: share(box.y, height),
            width: share(box.width, width),
            height: share(box.height, height),
          }}
        />
      </div>
      <figcaption>{caption}</figcaption>
    </figure>
  );
}

/** Draw a map with one pixel for each place; the browser smooths it when it is enlarged. */
function draw(canvas: HTMLCanvasElement, heat: MatchedRegion["heat"]): void {
  const rows = heat.length;
  const columns = heat[0]?.length ?? 0;
  canvas.width = columns;
  canvas.height = rows;
  const pixels = new ImageData(columns, rows);
  heat.flat().forEach((value, place) => {
    pixels.data.set([...HOT, Math.round(255 * COVER * value)], 4 * place);
  });
  canvas.getContext("2d")?.putImageData(pixels, 0, 0);
}

function explain(
  { file, photoId, box }: SearchRequest,
  resultId: string,
  signal: AbortSignal,
): Promise<ExplainAnswer> {
  const fields: Record<string, string> = { result_id: resultId };
  if (photoId !== undefined) fields["photo_id"] = photoId;
  if (box) fields["box"] = box;
  if (file) return postPhoto("/v1/explain", file, fields, signal);
  return callJson("/v1/explain", { method: "POST", body: formWith(fields), signal });
}

function large(id: string): string {
  return `/v1/thumbnails/${encodeURIComponent(id)}?size=1024`;
}
