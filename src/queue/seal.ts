/**
 * What proves that a text comes from a machine of the same queue: HMAC-SHA-256 with the token as its key. The token
 * itself is neither in Redis nor on the network.
 */
import { createHash, createHmac, timingSafeEqual } from "node:crypto";

/** Digest of bytes in hexadecimal: the name by which data is asked for, and the checksum of what arrives. */
export function sha256(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Keyed digest of a text, for a purpose, so that one never passes for another. */
export function seal(token: string, purpose: string, text: string): string {
  return createHmac("sha256", token).update(`lopsided ${purpose}\n${text}`).digest("hex");
}

/** Whether a keyed digest is that of the text. Takes the same time for every wrong one. */
export function isSealed(token: string, purpose: string, text: string, given: string): boolean {
  const wanted = Buffer.from(seal(token, purpose, text));
  const found = Buffer.from(given);
  return wanted.length === found.length && timingSafeEqual(wanted, found);
}

/** What is sealed of an HTTP request. */
export function requestText(method: string, path: string, bodySha256: string): string {
  return `${method} ${path}\n${bodySha256}`;
}

/** Names a token without telling it: machines with another one have queues of other names. */
export function tokenName(token: string): string {
  return seal(token, "name", "").slice(0, 12);
}
