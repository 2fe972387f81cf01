/** The chat page: one file, and what a browser may do with it. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";

export interface Page {
  readonly html: string;
  readonly headers: Readonly<Record<string, string>>;
}

/**
 * Reads the page. Its policy allows its own style and script, by their digests, and requests to this server:
 * whatever a model writes, the browser loads and runs nothing else.
 */
export function loadPage(): Page {
  const html = readFileSync(new URL("./page/index.html", import.meta.url), "utf8");
  const policy = [
    "default-src 'none'",
    `script-src ${digestsOf(html, "script")}`,
    `style-src ${digestsOf(html, "style")}`,
    "connect-src 'self'",
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ];
  return {
    html,
    headers: {
      "content-type": "text/html; charset=utf-8",
      "content-security-policy": policy.join("; "),
      "referrer-policy": "no-referrer",
      "x-content-type-options": "nosniff",
      "cache-control": "no-cache",
    },
  };
}

function digestsOf(html: string, element: "script" | "style"): string {
  const contents = html.matchAll(new RegExp(`<${element}>([\\s\\S]*?)</${element}>`, "g"));
  return Array.from(
    contents,
    ([, content = ""]) => `'sha256-${createHash("sha256").update(content).digest("base64")}'`,
  ).join(" ");
}
