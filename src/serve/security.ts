/** Who may use the server. */
import { createHash, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import { ApiError } from "./errors.js";

const digest = (text: string) => createHash("sha256").update(text).digest();

/** A check of the `Authorization` header, in constant time: digests of equal length are compared. */
export function keyCheck(key: string): (header: string | undefined) => void {
  const expected = digest(key);
  return (header) => {
    const given = /^Bearer\s+(.*)$/i.exec(header ?? "")?.[1] ?? "";
    if (timingSafeEqual(digest(given), expected)) return;
    const what = header === undefined ? "no API key was given" : "the API key is wrong";
    throw new ApiError(401, `${what}; send the server's as "Authorization: Bearer KEY".`, {
      code: "invalid_api_key",
    });
  };
}

/**
 * Refuses requests that a web page of someone else makes in the user's browser: those whose origin is another, and,
 * where only this machine is meant, those for a name that someone else made to point here.
 */
export function checkOrigin(
  { origin, host }: { origin: string | undefined; host: string | undefined },
  isLocal: boolean,
): void {
  const refuse = (what: string) => new ApiError(403, `${what}; web pages of others may not use this server.`);
  if (origin !== undefined && hostOf(origin) !== host) throw refuse(`the request comes from ${origin}`);
  if (isLocal && host !== undefined && !isLocalName(host)) throw refuse(`the request is for ${host}`);
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

function isLocalName(host: string): boolean {
  const name = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : "";
  return name === "localhost" || isIP(name.replace(/^\[(.*)\]$/, "$1")) !== 0;
}

/** Whether only this machine can reach an address. */
export function isLoopback(address: string): boolean {
  return address === "localhost" || address === "::1" || address.startsWith("127.");
}
