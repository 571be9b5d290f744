/**
 * The text of a filter, as far as checkboxes and ranges can show it.
 *
 * The text is the only truth: what is chosen is read from it and written to it. Conditions that
 * are joined by `and` and have a simple form are choices and ranges; everything else is kept as it
 * is written. The server decides what a filter means, and what is wrong with it.
 */
import type { Value } from "./answers";

export interface Range {
  readonly from?: number | undefined;
  readonly to?: number | undefined;
}

export interface FilterParts {
  /** `name = value` or `name in (value, ...)`, by name. */
  readonly choices: ReadonlyMap<string, readonly Value[]>;
  /** `name >= from` and `name <= to`, by name. */
  readonly ranges: ReadonlyMap<string, Range>;
  /** Other conditions. */
  readonly rest: readonly string[];
}

interface Token {
  readonly kind: "text" | "name" | "number" | "word" | "sign";
  readonly source: string;
  readonly start: number;
}

const TOKEN =
  /\s*(?:(?<text>"(?:[^"]|"")*"|'(?:[^']|'')*')|(?<name>`(?:[^`]|``)+`)|(?<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)|(?<word>[\p{L}_][\p{L}\p{N}_]*)|(?<sign>!=|<=|>=|[=<>(),]))/iuy;
const KEYWORD = /^(?:and|or|not|in|is|null|true|false)$/i;
const BARE_NAME = /^[\p{L}_][\p{L}\p{N}_]*$/u;

export function readFilter(text: string): FilterParts {
  const choices = new Map<string, readonly Value[]>();
  const ranges = new Map<string, Range>();
  const rest: string[] = [];
  for (const tokens of conjuncts(text)) {
    const source = sourceOf(text, tokens);
    const choice = readChoice(tokens);
    const bound = readBound(tokens);
    if (choice && !choices.has(choice.name)) choices.set(choice.name, choice.values);
    else if (bound && !(bound.end in (ranges.get(bound.name) ?? {})))
      ranges.set(bound.name, { ...ranges.get(bound.name), [bound.end]: bound.value });
    else if (source) rest.push(source);
  }
  return { choices, ranges, rest };
}

export function writeFilter({ choices, ranges, rest }: FilterParts): string {
  const parts: string[] = [];
  for (const [name, values] of choices) {
    const written = values.map(writeValue);
    if (written.length === 1) parts.push(`${writeName(name)} = ${written[0]}`);
    else if (written.length > 1) parts.push(`${writeName(name)} in (${written.join(", ")})`);
  }
  for (const [name, { from, to }] of ranges) {
    if (from !== undefined) parts.push(`${writeName(name)} >= ${from}`);
    if (to !== undefined) parts.push(`${writeName(name)} <= ${to}`);
  }
  const alone = parts.length === 0 && rest.length === 1;
  for (const part of rest) parts.push(!alone && hasOr(part) ? `(${part})` : part);
  return parts.join(" and ");
}

/** Return the filter with a value of an attribute chosen, or no longer chosen. */
export function withChoice(text: string, name: string, value: Value, chosen: boolean): string {
  const parts = readFilter(text);
  const others = (parts.choices.get(name) ?? []).filter((each) => each !== value);
  return withChoices(text, name, chosen ? [...others, value] : others);
}

/** Return the filter with exactly these values of an attribute chosen. */
export function withChoices(text: string, name: string, values: readonly Value[]): string {
  const parts = readFilter(text);
  return writeFilter({ ...parts, choices: changed(parts.choices, name, values) });
}

/** Return the filter with other ends of the range of an attribute; undefined is no end. */
export function withRange(text: string, name: string, ends: Range): string {
  const parts = readFilter(text);
  const range = { ...parts.ranges.get(name), ...ends };
  return writeFilter({ ...parts, ranges: changed(parts.ranges, name, range) });
}

function changed<V>(values: ReadonlyMap<string, V>, name: string, value: V): Map<string, V> {
  return new Map(values).set(name, value);
}

/** Split a filter at each `and` outside parentheses; one part where an `or` stands there. */
function conjuncts(text: string): Token[][] {
  const tokens = tokenize(text);
  // Not to be read (yet): one part, as it is written.
  if (!tokens || hasOr(text)) return [[{ kind: "word", source: text.trim(), start: 0 }]];
  const parts: Token[][] = [[]];
  let depth = 0;
  for (const token of tokens) {
    depth += depthChange(token);
    if (depth === 0 && isWord(token, "and")) parts.push([]);
    else parts.at(-1)?.push(token);
  }
  return parts;
}

function hasOr(text: string): boolean {
  let depth = 0;
  return (tokenize(text) ?? []).some((token) => {
    depth += depthChange(token);
    return depth === 0 && isWord(token, "or");
  });
}

function tokenize(text: string): Token[] | null {
  const tokens: Token[] = [];
  const end = text.trimEnd().length;
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < end) {
    const groups = TOKEN.exec(text)?.groups;
    if (!groups) return null;
    const [kind, source = ""] = Object.entries(groups).find(([, found]) => found) ?? [];
    const start = TOKEN.lastIndex - source.length;
    tokens.push({ kind: kind as Token["kind"], source, start });
  }
  return tokens;
}

function readChoice(tokens: Token[]): { name: string; values: Value[] } | null {
  const [name, operator, ...operands] = tokens;
  const known = name && readName(name);
  if (!known || !operator) return null;
  if (operator.source === "=" && operands.length === 1) {
    const value = readValue(operands[0]);
    return value === undefined ? null : { name: known, values: [value] };
  }
  if (!isWord(operator, "in") || operands[0]?.source !== "(" || operands.at(-1)?.source !== ")")
    return null;
  const listed = operands.slice(1, -1);
  const values = listed.filter((_, i) => i % 2 === 0).map(readValue);
  const commas = listed.filter((_, i) => i % 2 === 1);
  if (values.includes(undefined) || commas.some(({ source }) => source !== ",")) return null;
  return commas.length === values.length - 1 ? { name: known, values: values as Value[] } : null;
}

function readBound(tokens: Token[]): { name: string; end: keyof Range; value: number } | null {
  const [name, operator, operand, ...more] = tokens;
  const known = name && readName(name);
  if (!known || more.length > 0 || operand?.kind !== "number") return null;
  const value = Number(operand.source);
  if (operator?.source === ">=") return { name: known, end: "from", value };
  return operator?.source === "<=" ? { name: known, end: "to", value } : null;
}

function readName({ kind, source }: Token): string | null {
  if (kind === "name") return source.slice(1, -1).replaceAll("``", "`");
  return kind === "word" && !KEYWORD.test(source) ? source : null;
}

function readValue(token: Token | undefined): Value | undefined {
  if (!token) return undefined;
  const { kind, source } = token;
  const quote = source[0] ?? "";
  if (kind === "text") return source.slice(1, -1).replaceAll(quote + quote, quote);
  // A number that JavaScript would write otherwise stays as the user wrote it.
  if (kind === "number") return String(Number(source)) === source ? Number(source) : undefined;
  return isWord(token, "true") ? true : isWord(token, "false") ? false : undefined;
}

function writeValue(value: Value): string {
  return typeof value === "string" ? `"${value.replaceAll('"', '""')}"` : String(value);
}

function writeName(name: string): string {
  if (BARE_NAME.test(name) && !KEYWORD.test(name)) return name;
  return `\`${name.replaceAll("`", "``")}\``;
}

function sourceOf(text: string, tokens: Token[]): string {
  const [first, last] = [tokens[0], tokens.at(-1)];
  if (!first || !last) return "";
  if (tokens.length === 1) return first.source;
  return text.slice(first.start, last.start + last.source.length);
}

function isWord({ kind, source }: Token, word: string): boolean {
  return kind === "word" && source.toLowerCase() === word;
}

function depthChange({ source }: Token): number {
  return source === "(" ? 1 : source === ")" ? -1 : 0;
}
