/** Hashes by which a page's policy admits scripts and styles of its own. */
import { createHash } from "node:crypto";

/** What a policy calls a script or style with this text. */
export function policyHash(text: string): string {
  return `sha256-${createHash("sha256").update(text).digest("base64")}`;
}
