import assert from "node:assert/strict";
import { test } from "node:test";
import { hasCredentials, shownAddress } from "./address.js";

const shown: readonly [address: string, shown: string][] = [
  ["https://host/a/b.gguf", "https://host/a/b.gguf"],
  ["https://host/a@v1/b.gguf?token=secret", "https://host/a@v1/b.gguf"],
  ["https://host/b.gguf#secret", "https://host/b.gguf"],
  ["https://name:secret@host/b.gguf", "https://host/b.gguf"],
  ["HTTPS://secret@host", "HTTPS://host"],
  ["http://name:sec/ret@host/b.gguf?x", "http://host/b.gguf"],
  ["http://name:secret@[/b.gguf", "http://[/b.gguf"],
  ["ftp://name:secret@host/b.gguf", "ftp://host/b.gguf"],
  ["s3://key:secret@bucket/b.gguf", "s3://bucket/b.gguf"],
  ["hf://owner/name@refs/pr/1/b.gguf", "hf://owner/name@refs/pr/1/b.gguf"],
  ["hf://name:secret@owner/name", "hf://owner/name"],
  ["/a/b?c#d@e.gguf", "/a/b?c#d@e.gguf"],
  ["C:\\a\\b.gguf", "C:\\a\\b.gguf"],
];

for (const [address, expected] of shown) {
  test(`${address} is shown as ${expected}`, () => assert.equal(shownAddress(address), expected));
}

test("a name or a password in an address is noticed", () => {
  assert.ok(hasCredentials("https://name:secret@host/"));
  assert.ok(hasCredentials("https://:secret@host/"));
  assert.ok(!hasCredentials("https://host/a@b"));
  assert.ok(!hasCredentials("/a@b"));
});
