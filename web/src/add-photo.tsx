/** Adding a photo to the catalogue, or replacing one. */
import { useEffect, useState } from "preact/hooks";
import { type ChangesAnswer, type Value, isNumeric } from "./answers";
import { type Problem, asProblem, callJson } from "./api";
import { ChooseButton } from "./choose-photo";
import { Dialog } from "./dialog";
import { label } from "./filters";
import { ProblemNotice } from "./notice";
import { formOf } from "./query-photo";

interface AddPhotoDialogProps {
  /** The type of each attribute. */
  readonly attributes: Readonly<Record<string, string>>;
  readonly onClose: () => void;
  readonly onAdded: (message: string) => void;
}

export function AddPhotoDialog({ attributes, onClose, onAdded }: AddPhotoDialogProps) {
  const [file, setFile] = useState<File | null>(null);
  const [id, setId] = useState("");
  const [problem, setProblem] = useState<Problem | null>(null);
  const [isBusy, setBusy] = useState(false);
  const choose = (chosen: File) => {
    setFile(chosen);
    if (!id) setId(chosen.name);
  };
  const add = async (form: HTMLFormElement) => {
    if (!file) return;
    const fields = new FormData(form);
    const given = Object.entries(attributes).map(
      ([name, type]) => [name, typed(String(fields.get(`attribute ${name}`) ?? ""), type)] as const,
    );
    const body = formOf(file, {
      product_id: String(fields.get("product_id") ?? ""),
      attributes: JSON.stringify(Object.fromEntries(given.filter(([, value]) => value !== null))),
    });
    if (!body.get("product_id")) body.delete("product_id");
    setBusy(true);
    try {
      const path = `/v1/catalog/photos/${encodeURIComponent(id)}`;
      const changes = await callJson<ChangesAnswer>(path, { method: "PUT", body });
      onAdded(told(changes, id));
    } catch (error) {
      setProblem(asProblem(error));
      setBusy(false);
    }
  };
  return (
    <Dialog title="Add a photo" onClose={onClose}>
      <form
        class="add"
        onSubmit={(event) => {
          event.preventDefault();
          void add(event.currentTarget);
        }}
      >
        <div class="line">
          <FilePicture file={file} />
          <ChooseButton onFile={choose}>{file ? "Other photo" : "Choose a photo"}</ChooseButton>
        </div>
        <label>
          <span>Photo id</span>
          <input
            required
            value={id}
            onInput={(event) => setId(event.currentTarget.value)}
            aria-describedby="id-help"
          />
          <span id="id-help" class="soft">
            A photo that has this id already is replaced.
          </span>
        </label>
        <label>
          <span>Product id</span>
          <input name="product_id" />
        </label>
        {Object.entries(attributes).map(([name, type]) => (
          <label key={name}>
            <span>{label(name)}</span>
            {isNumeric(type) ? (
              <input name={`attribute ${name}`} type="number" step={type === "int" ? 1 : "any"} />
            ) : type === "bool" ? (
              <select name={`attribute ${name}`}>
                <option value="">not known</option>
                <option value="true">yes</option>
                <option value="false">no</option>
              </select>
            ) : (
              <input name={`attribute ${name}`} />
            )}
          </label>
        ))}
        {problem && <ProblemNotice problem={problem} />}
        <div class="actions">
          <button type="submit" class="primary" disabled={!file || isBusy}>
            {isBusy ? "Adding…" : "Add"}
          </button>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
        </div>
      </form>
    </Dialog>
  );
}

function FilePicture({ file }: { file: File | null }) {
  const [url, setUrl] = useState<string>();
  useEffect(() => {
    if (!file) return undefined;
    const made = URL.createObjectURL(file);
    setUrl(made);
    return () => URL.revokeObjectURL(made);
  }, [file]);
  return <span class="picture">{url && <img src={url} alt={file?.name ?? ""} />}</span>;
}

function typed(text: string, type: string): Value {
  if (text === "") return null;
  if (type === "bool") return text === "true";
  return isNumeric(type) ? Number(text) : text;
}

function told({ n_added: added, n_changed: changed }: ChangesAnswer, id: string): string {
  return added ? `Added ${id}` : changed ? `Replaced ${id}` : `${id} was there already`;
}
