/** Filters: values to tick with their counts, ranges of numbers, and the filter as text. */
import { useId, useLayoutEffect, useState } from "preact/hooks";
import { type FacetValue, type Value, isNumeric } from "./answers";
import type { Problem } from "./api";
import { Fold } from "./fold";
import { type FilterParts, type Range, readFilter, withChoice, withRange } from "./filter-text";
import { TITLES } from "./titles";
import { NumberField } from "./number-field";
import { refilter } from "./route";
import { type Facets, MOST_VALUES, useFacets } from "./use-facets";

interface FiltersProps {
  readonly where: string;
  /** The last filter that could be read: values are counted among its photos. */
  readonly counted: string;
  /** The type of each attribute. */
  readonly attributes: Readonly<Record<string, string>>;
  /** What is wrong with the text. */
  readonly problem: Problem | null;
}

const FEW = 6; // values that are shown of an attribute at first
const FEW_NUMBERS = 8; // values; an attribute with more is a range

export function Filters({ where, counted, attributes, problem }: FiltersProps) {
  const names = Object.keys(attributes).filter((name) => !TITLES.includes(name));
  const facets = useFacets(counted, names);
  const parts = readFilter(where);
  const n = parts.choices.size + parts.ranges.size + parts.rest.length;
  return (
    <Fold icon="filter" title={n > 0 ? `Filters (${n})` : "Filters"}>
      <section class="filters" aria-label="Filters">
        <div class="line">
          <h2>Filters</h2>
          {where && (
            <button type="button" class="quiet" onClick={() => refilter(() => "")}>
              Clear
            </button>
          )}
        </div>
        {names.map((name) => {
          const shown = kindOf(name, attributes[name] ?? "", facets, parts);
          if (shown === "choices") {
            const values = facets[name] ?? [];
            const chosen = parts.choices.get(name) ?? [];
            const choose = (value: Value, on: boolean) =>
              refilter((text) => withChoice(text, name, value, on));
            return (
              <Choices key={name} name={name} values={values} chosen={chosen} choose={choose} />
            );
          }
          if (shown === "range") {
            const range = parts.ranges.get(name) ?? {};
            const change = (next: Range) => refilter((text) => withRange(text, name, next));
            return <RangeFields key={name} name={name} range={range} change={change} />;
          }
          return null;
        })}
        <FilterText where={where} problem={problem} />
      </section>
    </Fold>
  );
}

/** Say how an attribute is shown: not at all where its values are as good as all different. */
function kindOf(name: string, type: string, facets: Facets, parts: FilterParts) {
  const values = (facets[name] ?? []).filter(({ value }) => value !== null);
  if (parts.choices.has(name)) return "choices";
  if (isNumeric(type) && (values.length > FEW_NUMBERS || parts.ranges.has(name))) return "range";
  const distinct = values.length >= MOST_VALUES || values.every(({ count }) => count === 1);
  return values.length === 0 || (distinct && values.length > FEW) ? "nothing" : "choices";
}

interface ChoicesProps {
  readonly name: string;
  readonly values: readonly FacetValue[];
  readonly chosen: readonly Value[];
  readonly choose: (value: Value, on: boolean) => void;
}

function Choices({ name, values, chosen, choose }: ChoicesProps) {
  const [all, setAll] = useState(false);
  const known = values.filter(({ value }) => value !== null);
  // A value of the filter that no photo has is shown as well: it can be taken away.
  const gone = chosen.filter((value) => !known.some((each) => each.value === value));
  const listed = [...known, ...gone.map((value) => ({ value, count: 0 }))];
  const shown = all ? listed : listed.filter(({ value }, i) => i < FEW || chosen.includes(value));
  return (
    <fieldset class="choices">
      <legend>{label(name)}</legend>
      {shown.map(({ value, count }) => (
        <label key={String(value)}>
          <input
            type="checkbox"
            checked={chosen.includes(value)}
            onChange={(event) => choose(value, event.currentTarget.checked)}
          />
          <span class="value">{valueText(value)}</span>
          <span class="count">{count.toLocaleString("en")}</span>
        </label>
      ))}
      {listed.length > FEW && (
        <button type="button" class="quiet" aria-expanded={all} onClick={() => setAll(!all)}>
          {all ? "Show fewer" : `Show all ${listed.length}`}
        </button>
      )}
    </fieldset>
  );
}

interface RangeFieldsProps {
  readonly name: string;
  readonly range: Range;
  readonly change: (range: Range) => void;
}

function RangeFields({ name, range, change }: RangeFieldsProps) {
  const field = (end: keyof Range, text: string) => (
    <NumberField
      label={`${label(name)}, ${text}`}
      placeholder={text}
      value={range[end]}
      onValue={(value) => change({ [end]: value })}
    />
  );
  return (
    <fieldset class="range">
      <legend>{label(name)}</legend>
      {field("from", "from")}
      <span aria-hidden="true">–</span>
      {field("to", "to")}
    </fieldset>
  );
}

function FilterText({ where, problem }: Omit<FiltersProps, "attributes" | "counted">) {
  const [text, setText] = useState(where);
  const id = useId();
  // At once: later it would undo what was typed meanwhile.
  useLayoutEffect(() => setText(where), [where]);
  return (
    <form
      class="filter-text"
      onSubmit={(event) => {
        event.preventDefault();
        refilter(() => text.trim());
      }}
    >
      <label for={id}>Filter as text</label>
      <textarea
        id={id}
        rows={2}
        spellcheck={false}
        autocapitalize="off"
        placeholder={'price < 50 and colour != "red"'}
        value={text}
        aria-invalid={problem !== null}
        aria-describedby={problem ? `${id}-problem` : undefined}
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={(event) => {
          if (event.key !== "Enter" || event.shiftKey) return;
          event.preventDefault();
          refilter(() => text.trim());
        }}
      />
      {problem && (
        <div id={`${id}-problem`}>
          <FilterProblem text={where} problem={problem} />
        </div>
      )}
      {text.trim() !== where && (
        <button type="submit" class="small">
          Apply
        </button>
      )}
    </form>
  );
}

/** Show where in the text the error is. The position counts characters, not UTF-16 units. */
export function FilterProblem({ text, problem }: { text: string; problem: Problem }) {
  const characters = [...text];
  const at = problem.position;
  return (
    <p class="filter-problem">
      {at !== null && (
        <code>
          {characters.slice(0, at).join("")}
          <mark>
            {characters
              .slice(at)
              .join("")
              .match(/^\S+|^$/)?.[0] || " "}
          </mark>
        </code>
      )}
      {problem.message.split("\n", 1)[0]}
    </p>
  );
}

export function valueText(value: Value): string {
  return typeof value === "boolean" ? (value ? "yes" : "no") : String(value);
}

/** Return the name of an attribute as people write it. */
export function label(name: string): string {
  const words = name.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
