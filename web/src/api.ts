/** Calls of the server. */
import { apiKey } from "./settings";

/** An error that the server answered (RFC 9457), or that kept it from answering. */
export class Problem extends Error {
  /** Stable; `unreachable` when there was no answer. */
  readonly code: string;
  readonly status: number;
  readonly title: string;
  /** In seconds: when to try again. */
  readonly retryAfter: number | null;
  /** Where in a filter the error is, in characters from 0. */
  readonly position: number | null;

  constructor(
    code: string,
    title: string,
    detail: string,
    more: { status?: number; retryAfter?: number | null; position?: number | null } = {},
  ) {
    super(detail);
    this.code = code;
    this.title = title;
    this.status = more.status ?? 0;
    this.retryAfter = more.retryAfter ?? null;
    this.position = more.position ?? null;
  }
}

export interface Call {
  method?: "GET" | "POST" | "PUT" | "DELETE";
  /** A form, or what is sent as JSON. */
  body?: FormData | object;
  signal?: AbortSignal;
}

/** Return the JSON that the server answers. Throws `Problem`, or what aborting throws. */
export async function callJson<T>(path: string, call: Call = {}): Promise<T> {
  const response = await respond(path, call);
  return (await response.json()) as T;
}

/** Return the bytes that the server answers. Throws as `callJson` does. */
export async function callBlob(path: string, call: Call = {}): Promise<Blob> {
  return (await respond(path, call)).blob();
}

export function isAborted(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

/** Return an error as a problem to show. */
export function asProblem(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem("internal", "Something went wrong", String(error));
}

async function respond(path: string, { method = "GET", body, signal }: Call): Promise<Response> {
  const headers: Record<string, string> = {};
  const key = apiKey.get();
  if (key) headers["Authorization"] = `Bearer ${key}`;
  const isForm = body instanceof FormData;
  if (body && !isForm) headers["Content-Type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      body: !body ? null : isForm ? body : JSON.stringify(body),
      signal: signal ?? null,
      cache: method === "GET" ? "default" : "no-store",
    });
  } catch (error) {
    if (isAborted(error)) throw error;
    throw new Problem(
      "unreachable",
      "The server cannot be reached",
      "It may have stopped, or this device may be offline.",
    );
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

async function problemOf(response: Response): Promise<Problem> {
  const { status } = response;
  let told: { code?: string; title?: string; detail?: string; position?: number } = {};
  try {
    told = await response.json();
  } catch {
    // A proxy in between answered, not our server.
  }
  return new Problem(
    told.code ?? `http_${status}`,
    told.title ?? "The server could not answer",
    told.detail ?? `It answered with status ${status}.`,
    {
      status,
      retryAfter: Number(response.headers.get("Retry-After")) || null,
      position: told.position ?? null,
    },
  );
}
