import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { parseHTML } from "linkedom";
import { hostileEvaluation, largeEvaluation, tinyEvaluation } from "../testing/evaluation.js";
import { renderReport } from "./report.js";

/** The part of a document that is looked at. */
interface Page {
  querySelectorAll(selector: string): Element[];
}
interface Element extends Page {
  readonly textContent: string;
  getAttribute(name: string): string | null;
  hasAttribute(name: string): boolean;
}

function parsed(html: string): Page {
  return parseHTML(html).document as unknown as Page;
}

const titles = (page: Page) => [...page.querySelectorAll("h2")].map((title) => title.textContent);

test("the same evaluation gives the same bytes", () => {
  assert.equal(renderReport(tinyEvaluation()), renderReport(tinyEvaluation()));
  assert.equal(renderReport(largeEvaluation()), renderReport(largeEvaluation()));
});

test("a report has all parts that the evaluation has", () => {
  assert.deepEqual(titles(parsed(renderReport(largeEvaluation()))), [
    "Quality against size",
    "By kind of text",
    "Bits by layer and role",
    "Error by layer and role",
    "Experts in the calibration text",
    "Memory against context",
    "Tasks solved",
    "Where it comes from",
  ]);
});

test("a report leaves out what the evaluation has not", () => {
  const { calibration: _, evaluations: __, coverage: ___, memory: ____, ...rest } = tinyEvaluation();
  const variants = rest.variants.map(({ measurement: _____, ...variant }) => variant);
  const tensors = rest.tensors.map(({ relativeError: ______, ...tensor }) => tensor);
  const html = renderReport({ ...rest, variants, tensors });
  assert.deepEqual(titles(parsed(html)), ["Bits by layer and role", "Where it comes from"]);
  assert.ok(!/undefined|NaN/.test(html.replace(/<script>[\s\S]*<\/script>/, "")));
});

test("a model without layers or tensors still has a report", () => {
  assert.deepEqual(
    titles(parsed(renderReport({ ...tinyEvaluation(), tensors: [], variants: [], coverage: [] }))),
    ["Memory against context", "Where it comes from"],
  );
});

test("every chart says in words what it shows, and has a table", () => {
  const page = parsed(renderReport(largeEvaluation()));
  const charts = [...page.querySelectorAll("svg")];
  assert.ok(charts.length >= 10);
  for (const chart of charts) {
    assert.equal(chart.getAttribute("role"), "img");
    assert.ok((chart.getAttribute("aria-label") ?? "").length > 40);
    assert.ok([...chart.querySelectorAll("[data-tip]")].length > 0);
    assert.equal([...chart.querySelectorAll("title, style")].length, 0);
  }
  for (const figure of page.querySelectorAll("figure")) {
    assert.ok([...figure.querySelectorAll("details table caption")].length > 0);
  }
});

test("the page allows its own style and script and nothing else", () => {
  const html = renderReport(tinyEvaluation());
  const hash = (text = "") => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  const style = /<style>([\s\S]*?)<\/style>/.exec(html)?.[1];
  const script = /<script>([\s\S]*?)<\/script>/.exec(html)?.[1];
  const [, policy] = /http-equiv="Content-Security-Policy" content="([^"]*)"/.exec(html) ?? [];
  assert.equal(
    policy,
    `default-src 'none'; style-src ${hash(style)}; script-src ${hash(script)}; img-src data:; base-uri 'none'; form-action 'none'`,
  );
  assert.ok(!/ (?:style|on\w+)=/.test(html.replace(script ?? "", "")), "no style or code in attributes");
  assert.ok(!/(?:src|href)="(?!data:)/.test(html), "nothing from elsewhere");
});

test("texts from metadata stay texts", () => {
  const page = parsed(renderReport(hostileEvaluation()));
  assert.equal([...page.querySelectorAll("script")].length, 1);
  assert.equal([...page.querySelectorAll("img")].length, 0);
});
