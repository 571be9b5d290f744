/** How many photos have which values of their attributes. */
import { useEffect, useState } from "preact/hooks";
import type { FacetValue, FacetsAnswer } from "./answers";
import { callJson } from "./api";
import { readFilter, withChoices } from "./filter-text";
import { apiKey } from "./settings";
import { useStore } from "./store";

export type Facets = Readonly<Record<string, readonly FacetValue[]>>;

/** The server counts at most as many values of an attribute. */
export const MOST_VALUES = 50;

/**
 * Return the counts for each attribute among the photos that pass the filter.
 *
 * What is chosen of an attribute itself does not count for it: otherwise a choice would hide all
 * others. While the counts come, those before stay.
 */
export function useFacets(where: string, names: readonly string[]): Facets {
  const [facets, setFacets] = useState<Facets>({});
  const key = useStore(apiKey);
  const asked = JSON.stringify([where, names]);
  useEffect(() => {
    const leaving = new AbortController();
    const chosen = [...readFilter(where).choices.keys()].filter((name) => names.includes(name));
    const others = names.filter((name) => !chosen.includes(name));
    const calls = chosen.map((name) => [[name], withChoices(where, name, [])] as const);
    const ask = async ([wanted, filter]: readonly [readonly string[], string]) => {
      const query = new URLSearchParams({ names: wanted.join(","), limit: String(MOST_VALUES) });
      if (filter) query.set("where", filter);
      const path = `/v1/catalog/facets?${query}`;
      return (await callJson<FacetsAnswer>(path, { signal: leaving.signal })).facets;
    };
    const all = others.length > 0 ? [...calls, [others, where] as const] : calls;
    Promise.all(all.map(ask))
      .then((found) => setFacets(Object.assign({}, ...found)))
      // The search itself tells what is wrong.
      .catch(() => undefined);
    return () => leaving.abort();
  }, [asked, key]);
  return facets;
}
