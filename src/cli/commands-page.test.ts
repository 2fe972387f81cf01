import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { renderCommandsPage } from "./commands-page.js";

test("docs/commands.md is what the contracts say; node scripts/write-commands-page.mjs writes it", async () => {
  const page = await readFile(new URL("../../docs/commands.md", import.meta.url), "utf8");
  assert.equal(page, renderCommandsPage());
});
