/** A photo or thumbnail of the server. */
import { useEffect, useRef, useState } from "preact/hooks";
import { callBlob } from "./api";
import { Icon } from "./icons";
import { apiKey } from "./settings";
import { useStore } from "./store";

interface PictureProps {
  readonly src: string;
  readonly alt: string;
  /** Shown where `src` cannot be: a browser shows no HEIC or TIFF. */
  readonly instead?: string;
}

export function Picture({ src, alt, instead }: PictureProps) {
  const [failed, setFailed] = useState<readonly string[]>([]);
  const key = useStore(apiKey);
  const wanted = [src, instead].find((url) => url && !failed.includes(url));
  const frame = useRef<HTMLElement>(null);
  const fetched = useFetched(frame, key ? wanted : undefined, key, setFailed);
  if (!wanted) {
    return (
      <span class="picture none" role="img" aria-label={alt}>
        <Icon name="photo" />
      </span>
    );
  }
  const shown = key ? fetched : wanted;
  return (
    <span class="picture" ref={frame}>
      {shown && (
        <img
          src={shown}
          alt={alt}
          loading="lazy"
          decoding="async"
          onError={() => setFailed((before) => [...before, wanted])}
        />
      )}
    </span>
  );
}

/** Fetch a picture with the API key, which an `img` cannot send, when it comes near the screen. */
function useFetched(
  frame: { current: HTMLElement | null },
  src: string | undefined,
  key: string,
  fail: (change: (before: readonly string[]) => readonly string[]) => void,
): string | undefined {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    if (!src || !frame.current) return undefined;
    let shown: string | undefined;
    const leaving = new AbortController();
    const near = new IntersectionObserver(
      async (entries) => {
        if (!entries.some((entry) => entry.isIntersecting)) return;
        near.disconnect();
        try {
          shown = URL.createObjectURL(await callBlob(src, { signal: leaving.signal }));
          setUrl(shown);
        } catch {
          if (!leaving.signal.aborted) fail((before) => [...before, src]);
        }
      },
      { rootMargin: "300px" },
    );
    near.observe(frame.current);
    return () => {
      near.disconnect();
      leaving.abort();
      setUrl(undefined);
      if (shown) URL.revokeObjectURL(shown);
    };
  }, [src, key]);
  return url;
}
