/** What the server answers: the shapes of its JSON. */

export type Value = string | number | boolean | null;
export type Attributes = Readonly<Record<string, Value>>;

/** A photo of the catalogue. */
export interface Photo {
  readonly photo_id: number | string;
  readonly product_id?: string | null;
  readonly path: string;
  readonly attributes?: Attributes;
  readonly photo_url: string;
  readonly thumbnail_url: string;
}

/** One of the photos of a product that was found. */
export interface View extends Photo {
  readonly score: number;
}

export interface Hit extends View {
  readonly rank: number;
  readonly product_id: string | null;
  /** All photos of the product, best first, in a search grouped by product. */
  readonly photos?: readonly View[];
  /** The probability that the product is the one searched for, where the server knows it. */
  readonly confidence?: number;
}

export interface SearchAnswer {
  readonly hits: readonly Hit[];
  readonly exact: boolean;
  /** The steps that re-ranked what was found; their scores are no similarities. */
  readonly chain?: readonly string[] | null;
  readonly n_gallery: number;
  /** The largest confidence of a product, where the server knows it. */
  readonly confidence?: number;
  /** Whether no product is sure enough, where the server can tell. */
  readonly no_match?: boolean;
  readonly seconds: Readonly<Record<string, number>>;
  readonly query?: { readonly clipped: boolean } | null;
}

export interface BoxesAnswer {
  readonly photo_token?: string | null;
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly { readonly box: string; readonly score: number }[];
}

/** How much each place of a photo has to do with a match. */
export interface MatchedRegion {
  /** Of the upright photo, in pixels. */
  readonly width: number;
  readonly height: number;
  /** What the map covers. */
  readonly box: string;
  /** Rows of places, 0..1. */
  readonly heat: readonly (readonly number[])[];
}

export interface ExplainAnswer {
  readonly query: MatchedRegion;
  readonly result: MatchedRegion;
}

export interface FacetsAnswer {
  readonly facets: Readonly<Record<string, readonly FacetValue[]>>;
}

export interface FacetValue {
  readonly value: Value;
  readonly count: number;
}

export interface PhotosAnswer {
  readonly photos: readonly Photo[];
  readonly next: string | null;
  readonly n: number;
}

export interface ChangesAnswer {
  readonly n_added: number;
  readonly n_changed: number;
  readonly n_unchanged: number;
}

export interface FailuresAnswer {
  readonly failed_photos: readonly FailedPhoto[];
}

export interface FailedPhoto {
  readonly photo_id: number | string;
  readonly path: string;
  readonly reason: string;
  readonly detail?: string;
}

export interface PageSettings {
  readonly title: string;
  readonly max_upload_bytes: number;
  readonly keys_required: boolean;
  readonly read_only: boolean;
  /** The type of each attribute. */
  readonly attributes: Readonly<Record<string, string>>;
}

/** Whether all values of an attribute are numbers. */
export function isNumeric(type: string): boolean {
  return type.split(/\W+/).every((each) => each === "int" || each === "float");
}

/** The id of a photo as text: JavaScript's numbers do not hold every 64-bit id. */
export function idOf(photo: Photo): string {
  return decodeURIComponent(photo.photo_url.replace(/^.*\/v1\/photos\//, ""));
}
