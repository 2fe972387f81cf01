import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { commandsPage } from "./commands-page.js";

test("docs/commands.md is what the contracts say; node scripts/commands-page.mjs writes it", () => {
  const page = readFileSync(new URL("../../docs/commands.md", import.meta.url), "utf8");
  assert.equal(page, commandsPage());
});
