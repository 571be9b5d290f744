/** Buttons that choose or take a photo, and the area to drop one. */
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";
import { Icon } from "./icons";
import { choosePhoto } from "./uploads";

// Phones name HEIC by its ending, some systems without a type.
const ACCEPT = "image/*,.heic,.heif,.avif";

interface ChooseButtonProps {
  readonly primary?: boolean;
  readonly camera?: boolean;
  /** Show the icon only; the text is its label. */
  readonly bare?: boolean;
  readonly children: ComponentChildren;
  readonly onFile?: (file: File) => void;
}

export function ChooseButton({ primary, camera, bare, children, onFile }: ChooseButtonProps) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button
        type="button"
        class={`${primary ? "primary" : ""} ${camera ? "camera" : ""} ${bare ? "bare" : ""}`}
        onClick={() => input.current?.click()}
      >
        <Icon name={camera ? "camera" : "photo"} />
        {bare ? <span class="unseen">{children}</span> : children}
      </button>
      <input
        ref={input}
        type="file"
        accept={camera ? "image/*" : ACCEPT}
        {...(camera && { capture: "environment" as const })}
        hidden
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          // So that the same file can be chosen again.
          event.currentTarget.value = "";
          if (file) (onFile ?? choosePhoto)(file);
        }}
      />
    </>
  );
}

/** The first photo of what was dropped or pasted; the first file where the type is not told. */
export function photoIn(data: DataTransfer | null): File | null {
  const files = [...(data?.files ?? [])];
  return files.find(({ type }) => type.startsWith("image/")) ?? files[0] ?? null;
}
