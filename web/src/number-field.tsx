/** A field for a number. What is being typed stays while the page around it changes. */
import { useState } from "preact/hooks";

interface NumberFieldProps {
  readonly label: string;
  /** Undefined where there is none. */
  readonly value: number | undefined;
  readonly placeholder?: string;
  readonly whole?: boolean;
  /** Called when a number was entered, or removed. */
  readonly onValue: (value: number | undefined) => void;
}

export function NumberField({ label, value, placeholder, whole, onValue }: NumberFieldProps) {
  const [typed, setTyped] = useState<string | null>(null);
  return (
    <input
      type="number"
      step={whole ? 1 : "any"}
      inputMode={whole ? "numeric" : "decimal"}
      aria-label={label}
      placeholder={placeholder ?? ""}
      value={typed ?? value ?? ""}
      onInput={(event) => setTyped(event.currentTarget.value)}
      onChange={(event) => {
        const entered = event.currentTarget.valueAsNumber;
        setTyped(null);
        onValue(Number.isFinite(entered) ? entered : undefined);
      }}
    />
  );
}
