/** What stands below the photo: the proposed boxes as small pictures, and the box in numbers. */
import { type Box, type Size, inside, isWhole, sameBox, wholePhoto } from "./box";
import { Fold } from "./fold";
import { NumberField } from "./number-field";

interface BoxChoicesProps {
  readonly shown: string;
  readonly photo: Size;
  readonly box: Box;
  readonly proposed: readonly Box[];
  readonly onBox: (box: Box) => void;
}

const SIDE = 48; // px

export function BoxChoices({ shown, photo, box, proposed, onBox }: BoxChoicesProps) {
  const whole = wholePhoto(photo);
  const named = proposed.map((each, i) => ({ each, name: `Proposed box ${i + 1}` }));
  return (
    <div class="crops" role="group" aria-label="Boxes to choose">
      {[...named, { each: whole, name: "Whole photo" }].map(({ each, name }) => (
        <button
          type="button"
          class="crop"
          title={name}
          aria-label={name}
          aria-pressed={sameBox(each, box)}
          onClick={() => onBox(each)}
        >
          <span style={cropStyle(shown, photo, each)} />
        </button>
      ))}
    </div>
  );
}

export function BoxFields({ photo, box, onBox }: Omit<BoxChoicesProps, "shown" | "proposed">) {
  const field = (name: keyof Box) => (
    <label>
      <span>{name}</span>
      <NumberField
        label={name}
        whole
        value={box[name]}
        onValue={(value) =>
          onBox(value === undefined ? box : inside({ ...box, [name]: value }, photo))
        }
      />
    </label>
  );
  return (
    <Fold icon="crop" title="Box in numbers">
      <fieldset class="numbers">
        <legend>
          Box in pixels{" "}
          <span class="soft">
            of {photo.width} × {photo.height}
            {isWhole(box, photo) && ", the whole photo"}
          </span>
        </legend>
        {field("x")}
        {field("y")}
        {field("width")}
        {field("height")}
      </fieldset>
    </Fold>
  );
}

/** Show a part of the photo in a square, as large as fits. */
function cropStyle(shown: string, photo: Size, box: Box) {
  const scale = SIDE / Math.min(box.width, box.height);
  const left = box.x * scale + (box.width * scale - SIDE) / 2;
  const top = box.y * scale + (box.height * scale - SIDE) / 2;
  return {
    backgroundImage: `url("${shown}")`,
    backgroundSize: `${photo.width * scale}px ${photo.height * scale}px`,
    backgroundPosition: `${-left}px ${-top}px`,
  };
}
