/** The field for an API key. */
import { useId, useState } from "preact/hooks";
import { pageSettings } from "./page-settings";
import { apiKey, enterKey, isKeyRemembered } from "./settings";

/** `onKey` is called when another key was entered. */
export function KeyForm({ onKey }: { onKey?: () => void }) {
  const [text, setText] = useState(apiKey.get());
  const [remember, setRemember] = useState(isKeyRemembered());
  const id = useId();
  return (
    <form
      class="key"
      onSubmit={(event) => {
        event.preventDefault();
        enterKey(text.trim(), remember);
        void pageSettings.refresh();
        onKey?.();
      }}
    >
      <label for={id}>API key</label>
      <div class="line">
        <input
          id={id}
          type="password"
          autocomplete="off"
          spellcheck={false}
          placeholder="sl_…"
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
        />
        <button type="submit">Use</button>
      </div>
      <label class="check">
        <input
          type="checkbox"
          checked={remember}
          onChange={(event) => setRemember(event.currentTarget.checked)}
        />
        <span>Keep it on this device. Otherwise it is forgotten when the tab is closed.</span>
      </label>
    </form>
  );
}
