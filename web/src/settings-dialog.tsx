/** The key, the theme, and what this is. */
import { useEffect, useState } from "preact/hooks";
import { callJson } from "./api";
import { Dialog } from "./dialog";
import { KeyForm } from "./key-form";
import { pageSettings } from "./page-settings";
import { type Theme, chooseTheme, theme } from "./settings";
import { useStore } from "./store";

interface Models {
  readonly model: { readonly name: string };
  readonly version: string;
}

export function SettingsDialog({ onClose }: { onClose: () => void }) {
  const chosen = useStore(theme);
  const { keys_required: keysRequired } = useStore(pageSettings);
  const [models, setModels] = useState<Models | null>(null);
  useEffect(() => {
    callJson<Models>("/v1/models").then(setModels, () => undefined);
  }, []);
  const licences = document.querySelector<HTMLLinkElement>("link[rel=license]")?.href ?? "";
  return (
    <Dialog title="Settings" kind="drawer" onClose={onClose}>
      <fieldset class="segments">
        <legend>Colours</legend>
        {(["system", "light", "dark"] satisfies Theme[]).map((each) => (
          <label key={each}>
            <input
              type="radio"
              name="theme"
              checked={chosen === each}
              onChange={() => chooseTheme(each)}
            />
            <span>{each.charAt(0).toUpperCase() + each.slice(1)}</span>
          </label>
        ))}
      </fieldset>
      <section>
        <KeyForm />
        {!keysRequired && <p class="soft">This server needs no key for searches.</p>}
      </section>
      <section class="soft">
        <p>
          {models ? `shoplens ${models.version}, model ${models.model.name}. ` : "shoplens. "}
          <a href={licences} target="_blank" rel="noreferrer">
            Licences
          </a>
        </p>
      </section>
    </Dialog>
  );
}
