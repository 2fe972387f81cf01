/** Requests that follow redirects, but never from an encrypted connection to one that anybody on the way can change. */
import { hasCredentials } from "../bytes/address.js";
import { EnvironmentError } from "../errors.js";

/** As many as browsers follow. */
const mostRedirects = 20;

const redirectStatuses: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** Headers that belong to the server asked first, and to no other. */
const ownHeaders = ["authorization", "cookie"];

/**
 * Like `fetch`; `name` is what to call what is asked for in messages. The answer's `url` is where it came from.
 * Throws an EnvironmentError for a redirect from https to anything else, one without an address, or too many.
 */
export async function fetchFollowing(
  name: string,
  url: string | URL,
  init: RequestInit = {},
): Promise<Response> {
  let target = new URL(url);
  let request: RequestInit = { ...init, redirect: "manual" };
  for (let redirects = 0; ; redirects++) {
    const response = await fetch(target, request);
    if (!redirectStatuses.has(response.status)) {
      return response;
    }
    await response.body?.cancel();
    const next = nextTarget(name, target, response.headers.get("location"));
    if (redirects === mostRedirects) {
      throw new EnvironmentError(
        `${name}: the server redirects more than ${mostRedirects} times; check the address.`,
        {
          file: name,
        },
      );
    }
    request = nextRequest(request, response.status, next.origin === target.origin);
    target = next;
  }
}

function nextTarget(name: string, from: URL, location: string | null): URL {
  if (location === null || !URL.canParse(location, from.href)) {
    throw new EnvironmentError(`${name}: the server redirects without saying where to; check the address.`, {
      file: name,
    });
  }
  const next = new URL(location, from);
  if (!/^https?:$/.test(next.protocol) || (from.protocol === "https:" && next.protocol !== "https:")) {
    throw new EnvironmentError(
      `${name}: the server redirects from ${from.protocol}// to ${next.protocol}//${next.host}, where what comes could be changed on its way; use another address.`,
      { file: name },
    );
  }
  if (hasCredentials(next.href)) {
    throw new EnvironmentError(
      `${name}: the server redirects to an address with a password; download the file.`,
      { file: name },
    );
  }
  return next;
}

/** What is asked for after a redirect (the Fetch standard, "HTTP-redirect fetch"). */
function nextRequest(request: RequestInit, status: number, isSameServer: boolean): RequestInit {
  const headers = new Headers(request.headers);
  if (!isSameServer) {
    for (const header of ownHeaders) {
      headers.delete(header);
    }
  }
  const method = request.method?.toUpperCase() ?? "GET";
  const becomesGet = (status === 303 && method !== "HEAD") || (status <= 302 && method === "POST");
  if (!becomesGet) {
    return { ...request, headers };
  }
  headers.delete("content-type");
  headers.delete("content-length");
  const { body: _, ...rest } = request;
  return { ...rest, headers, method: "GET" };
}
