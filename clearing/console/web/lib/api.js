// The one place that asks the server. Errors are values of one kind, said in sentences.

import { createStore } from "./store.js";

/** {user, roles, may, csrf, …} as the server tells it; null: not asked yet. */
export const session = createStore(null);

export const may = (right) => session.get()?.may.includes(right) ?? false;

export class ApiError extends Error {
  constructor(status, body, retry_s) {
    super(body.error || `the server answered ${status}`);
    this.status = status;
    this.code = body.code ?? "";
    this.hint = body.hint ?? "";
    this.retry_s = retry_s;
  }
}

const UNREACHABLE = { error: "the console's server cannot be reached", code: "UNREACHABLE", hint: "what is shown is the last that was known" };

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, UNREACHABLE, null);
  }
  const retry = Number(answer.headers.get("Retry-After"));
  if (answer.status === 204) return null;
  const text = await answer.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    throw new ApiError(answer.status, { error: `the server answered ${answer.status} with something that is not JSON` }, null);
  }
  if (answer.ok) return body;
  const failure = new ApiError(answer.status, body, retry > 0 ? retry : null);
  if (answer.status === 401 && path !== "api/login") session.set({ ...session.get(), user: null, may: [], roles: [] });
  throw failure;
}

const query = (params) => {
  const some = Object.entries(params).filter(([, value]) => value !== null && value !== undefined && value !== "");
  return some.length ? `?${new URLSearchParams(some.map(([name, value]) => [name, String(value)]))}` : "";
};

/** Address of something to read, relative to the page: it works behind a proxy's path too. */
export const address = (path, params = {}) => `api/${path}${query(params)}`;

export const get = (path, params = {}, signal = undefined) => ask(address(path, params), { signal });

export const post = (path, body = {}) =>
  ask(address(path), {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-CSRF-Token": session.get()?.csrf ?? "" },
    body: JSON.stringify(body),
  });

export async function loadSession() {
  session.set(await get("session"));
}

export async function logIn(user, password) {
  session.set(await post("login", { user, password }));
}

export async function logOut() {
  await post("logout");
  await loadSession();
}
