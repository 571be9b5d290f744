/** The photo with its box: drawn, moved and resized by mouse, touch and keyboard. */
import { useRef, useState } from "preact/hooks";
import { type Box, type Size, isWhole, sameBox, wholePhoto } from "./box";
import { type Grip, type Point, REACH, gripAt, pulled, stepped } from "./box-gestures";

interface BoxEditorProps {
  readonly shown: string;
  readonly photo: Size;
  readonly box: Box;
  readonly proposed: readonly Box[];
  /** Called at every change; `held` while a pointer still holds the box. */
  readonly onBox: (box: Box, held: boolean) => void;
}

interface Gesture {
  readonly pointer: number;
  readonly grip: Grip | "scroll" | "undecided";
  readonly from: Point;
  /** The box before the gesture. */
  readonly before: Box;
  /** On the screen. */
  readonly start: Point;
  readonly last: Point;
}

const LEAST = 16; // px of the screen: a smaller drawn box is a slip
const DECIDED = 8; // px of the screen
const MOUSE_REACH = 12; // px of the screen: a mouse points more exactly than a finger

export function BoxEditor({ shown, photo, box, proposed, onBox }: BoxEditorProps) {
  const stage = useRef<HTMLDivElement>(null);
  const gesture = useRef<Gesture | null>(null);
  const [cursor, setCursor] = useState<Grip>("draw");
  const [pointed, setPointed] = useState<Box | null>(null);

  // The photo's pixels for each of the screen's, and a point of the screen on the stage.
  const scale = () => (stage.current?.getBoundingClientRect().width ?? 1) / photo.width;
  const onStage = (event: PointerEvent): Point => {
    const at = stage.current?.getBoundingClientRect();
    return { x: event.clientX - (at?.left ?? 0), y: event.clientY - (at?.top ?? 0) };
  };
  const onPhoto = ({ x, y }: Point): Point => ({ x: x / scale(), y: y / scale() });
  const grip = (event: PointerEvent): Grip => {
    const reach = event.pointerType === "mouse" ? MOUSE_REACH : REACH;
    return gripAt(onStage(event), box, photo, scale(), reach);
  };

  const press = (event: PointerEvent) => {
    // A second finger ends what the first began.
    if (gesture.current) return cancel();
    if (event.button !== 0) return;
    (event.currentTarget as HTMLElement).setPointerCapture(event.pointerId);
    const held = grip(event);
    // A swipe beside the box may mean to scroll: its first pixels tell.
    const waits = held === "draw" && event.pointerType !== "mouse";
    const at = { x: event.clientX, y: event.clientY };
    gesture.current = {
      pointer: event.pointerId,
      grip: waits ? "undecided" : held,
      from: onPhoto(onStage(event)),
      before: box,
      start: at,
      last: at,
    };
  };

  const drag = (event: PointerEvent) => {
    const now = gesture.current;
    if (!now) {
      setCursor(grip(event));
      setPointed(proposedAt(onPhoto(onStage(event)), box, proposed));
      return undefined;
    }
    if (event.pointerId !== now.pointer) return undefined;
    const at = { x: event.clientX, y: event.clientY };
    let held = now.grip;
    const [across, down] = [Math.abs(at.x - now.start.x), Math.abs(at.y - now.start.y)];
    if (held === "undecided" && Math.hypot(across, down) >= DECIDED) {
      held = across < down / 4 ? "scroll" : "draw";
    }
    gesture.current = { ...now, grip: held, last: at };
    if (held === "undecided") return undefined;
    if (held === "scroll") return scrollBy(0, now.last.y - at.y);
    const to = onPhoto(onStage(event));
    const next = pulled(held, now.before, now.from, to, photo, LEAST / scale());
    return onBox(next ?? now.before, true);
  };

  const release = (event: PointerEvent) => {
    const now = gesture.current;
    if (!now || event.pointerId !== now.pointer) return;
    gesture.current = null;
    const moved = Math.hypot(now.last.x - now.start.x, now.last.y - now.start.y);
    const chosen = moved < DECIDED ? proposedAt(now.from, now.before, proposed) : null;
    onBox(chosen ?? box, false);
  };

  const cancel = () => {
    const now = gesture.current;
    gesture.current = null;
    if (now) onBox(now.before, false);
  };

  const type = (event: KeyboardEvent) => {
    if (event.key === "Escape") {
      cancel();
      onBox(wholePhoto(photo), false);
    } else if (event.key.startsWith("Arrow")) {
      const fine = event.altKey || event.ctrlKey || event.metaKey;
      const step = fine ? 1 : Math.max(1, Math.round(Math.min(photo.width, photo.height) / 50));
      onBox(stepped(box, event.key, event.shiftKey, step, photo), false);
    } else {
      return;
    }
    event.preventDefault();
  };

  const whole = isWhole(box, photo);
  return (
    <div class="stage" ref={stage} style={stageStyle(photo)}>
      <img src={shown} alt="The photo that is searched for" draggable={false} />
      <div
        class={`surface hold-${cursor}`}
        tabIndex={0}
        role="application"
        aria-label={`Box around the product: ${inWords(box, whole)}`}
        aria-describedby="box-keys"
        onPointerDown={press}
        onPointerMove={drag}
        onPointerUp={release}
        onPointerCancel={cancel}
        onPointerLeave={() => setPointed(null)}
        onKeyDown={type}
      />
      <div class="clip" aria-hidden="true">
        {proposed.map((each) =>
          sameBox(each, box) ? null : (
            <span
              class={each === pointed ? "proposed pointed" : "proposed"}
              style={placed(each, photo)}
            />
          ),
        )}
        <span class={whole ? "frame whole" : "frame"} style={placed(box, photo)}>
          <i class="nw" />
          <i class="ne" />
          <i class="sw" />
          <i class="se" />
        </span>
      </div>
      {whole && (
        <span class="how" aria-hidden="true">
          Draw a box around the product
        </span>
      )}
      <p id="box-keys" class="unseen">
        Arrow keys move the box, Shift and arrow keys resize it, Escape takes the whole photo.
      </p>
    </div>
  );
}

/** As large as fits, with room below: a photo that fills a phone could not be scrolled past. */
function stageStyle({ width, height }: Size) {
  return {
    aspectRatio: `${width} / ${height}`,
    width: `min(100%, calc(var(--tallest) * ${width / height}))`,
  };
}

function placed(box: Box, photo: Size) {
  return {
    left: `${(100 * box.x) / photo.width}%`,
    top: `${(100 * box.y) / photo.height}%`,
    width: `${(100 * box.width) / photo.width}%`,
    height: `${(100 * box.height) / photo.height}%`,
  };
}

function inWords({ x, y, width, height }: Box, whole: boolean): string {
  return whole ? "the whole photo" : `x ${x}, y ${y}, width ${width}, height ${height}`;
}

/** Return the smallest proposed box around a point, other than the one that is chosen. */
function proposedAt({ x, y }: Point, chosen: Box, proposed: readonly Box[]): Box | null {
  const around = proposed.filter(
    (box) =>
      !sameBox(box, chosen) &&
      x >= box.x &&
      y >= box.y &&
      x < box.x + box.width &&
      y < box.y + box.height,
  );
  around.sort((a, b) => a.width * a.height - b.width * b.height);
  return around[0] ?? null;
}
