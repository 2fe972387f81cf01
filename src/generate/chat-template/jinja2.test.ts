import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { renderTemplate } from "./interpreter.js";
import { parseTemplate } from "./parser.js";

interface Case {
  readonly template: string;
  readonly rendered?: string;
  readonly error?: string;
}

/** Made by scripts/render-with-jinja2.py of scripts/chat-template-snippets.txt. */
const oracle: { readonly variables: Record<string, unknown>; readonly cases: readonly Case[] } = JSON.parse(
  readFileSync(new URL("../../../fixtures/chat-templates.json", import.meta.url), "utf8"),
);

for (const { template, rendered, error } of oracle.cases) {
  const title = template.replaceAll("\n", " ").slice(0, 60);
  test(`as jinja2 ${error === undefined ? "renders" : "refuses"}: ${title}`, () => {
    const render = () => renderTemplate(parseTemplate(template), oracle.variables);
    if (error === undefined) {
      assert.equal(render(), rendered);
    } else {
      assert.throws(render);
    }
  });
}
