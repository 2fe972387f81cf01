import assert from "node:assert/strict";
import { test } from "node:test";
import { parseGGUFQuantLabel } from "@huggingface/gguf";
import { parse } from "yaml";
import { hostileEvaluation, largeEvaluation, tinyEvaluation } from "../testing/evaluation.js";
import { renderCard } from "./card.js";
import type { Evaluation } from "./evaluation.js";
import { modelFile } from "./facts.js";

/** The front matter, as both versions of YAML read it, and the text after it. */
function split(card: string): { data: Record<string, unknown>; text: string } {
  // The Hub's own expression for the block (huggingface_hub, `REGEX_YAML_BLOCK`).
  const [block = "", yaml = ""] = /^\s*---[\r\n]+([\S\s]*?)[\r\n]+---(?:\r\n|\r|\n)/.exec(card) ?? [];
  const data = parse(yaml, { version: "1.2" });
  assert.deepEqual(parse(yaml, { version: "1.1" }), data, "YAML 1.1 and 1.2 read the same");
  return { data, text: card.slice(block.length) };
}

/** The Hub's rules: https://huggingface.co/docs/hub/model-cards and the messages of its validation. */
function checkFrontMatter(data: Record<string, unknown>): void {
  const isText = (value: unknown) => typeof value === "string" && value.trim() !== "";
  for (const base of [data.base_model ?? []].flat()) {
    assert.match(String(base), /^[\w.-]+\/[\w.-]+$/, "base_model is a model id");
  }
  assert.equal(data.base_model_relation, data.base_model === undefined ? undefined : "quantized");
  if (data.license !== undefined) {
    assert.ok(isText(data.license) && licenses.has(String(data.license)));
  }
  if (data.license_name !== undefined) {
    assert.equal(data.license, "other");
    assert.match(String(data.license_name), /^[a-z0-9-.]+$/);
  }
  if (data.license_link !== undefined) {
    assert.ok(URL.canParse(String(data.license_link)));
  }
  for (const code of [data.language ?? []].flat()) {
    assert.match(String(code), /^(?:[a-z]{2,3}|code|multilingual)$/);
  }
  assert.ok(Array.isArray(data.tags) && data.tags.every(isText));
  assert.equal(new Set(data.tags as string[]).size, (data.tags as string[]).length);
  for (const key of ["library_name", "pipeline_tag", "quantized_by"]) {
    assert.ok(isText(data[key]), key);
  }
  const known = [
    "base_model base_model_relation license license_name license_link language library_name pipeline_tag",
    "quantized_by tags",
  ];
  for (const key of Object.keys(data)) {
    assert.ok(known.join(" ").split(" ").includes(key), key);
  }
}

/** Some of the identifiers that the Hub accepts: those that the tests use. */
const licenses = new Set(["apache-2.0", "llama3.1", "other"]);

function withSource(source: Partial<Evaluation["source"]>): Evaluation {
  const evaluation = tinyEvaluation();
  return { ...evaluation, source: { ...evaluation.source, ...source } };
}

test("the front matter of a model from the Hub follows the Hub's rules", () => {
  const { data } = split(renderCard(largeEvaluation(), { quantizedBy: "someone" }));
  checkFrontMatter(data);
  assert.deepEqual(data, {
    base_model: "Qwen/Qwen3-Coder-30B-A3B-Instruct",
    base_model_relation: "quantized",
    license: "apache-2.0",
    language: ["en"],
    library_name: "gguf",
    pipeline_tag: "text-generation",
    quantized_by: "someone",
    tags: ["gguf", "imatrix", "moe", "quantized", "lopsided", "llama.cpp", "conversational"],
  });
});

test("what metadata does not tell is not made up", () => {
  const { data } = split(renderCard(tinyEvaluation()));
  checkFrontMatter(data);
  for (const key of ["base_model", "base_model_relation", "license", "language"]) {
    assert.ok(!(key in data));
  }
});

test("licenses become what the Hub accepts", () => {
  for (const [source, expected] of [
    [{ license: "Apache-2.0" }, { license: "apache-2.0" }],
    [{ license: "llama3.1" }, { license: "llama3.1" }],
    [
      { license: "other", licenseName: "Tongyi Qianwen", licenseLink: "https://example.com/LICENSE" },
      { license: "other", license_name: "tongyi-qianwen", license_link: "https://example.com/LICENSE" },
    ],
    [{ license: "my own!" }, { license: "other", license_name: "my-own" }],
    [
      { license: "other", licenseName: "x", licenseLink: "javascript:alert(1)" },
      { license: "other", license_name: "x" },
    ],
  ] as const) {
    const { data } = split(renderCard(withSource(source)));
    checkFrontMatter(data);
    const { license, license_name, license_link } = data;
    assert.deepEqual(JSON.parse(JSON.stringify({ license, license_name, license_link })), expected);
  }
});

test("values that YAML 1.1 would take for something else stay texts", () => {
  const { data } = split(
    renderCard(withSource({ languages: ["no", "en", "EN", "xx-YY"], tags: ["on", "1e3", "0x10", "12:30"] }), {
      quantizedBy: "yes",
    }),
  );
  checkFrontMatter(data);
  assert.deepEqual(data.language, ["no", "en"]);
  assert.equal(data.quantized_by, "yes");
  assert.deepEqual((data.tags as string[]).slice(-4), ["on", "1e3", "0x10", "12:30"]);
});

test("every figure of the card is the evaluation's", () => {
  const evaluation = largeEvaluation();
  const { text } = split(renderCard(evaluation));
  for (const part of [
    "**11.42 GB (10.64 GiB), 2.99 bits per weight**",
    "| routed.gate | `IQ2_S` | 2.56 | 48 | 9.66 B | 3.10 GB |",
    "| attention | `Q4_K` | 4.50 | 192 |",
    "| perplexity | 9.5512 ± 0.0430 | 9.5998 ± 0.0430 | 9.9318 ± 0.0430 |",
    "code (100 chunks of 512 tokens), prose (100 chunks of 512 tokens): 51000 scored tokens",
    "| arithmetic | 48 of 50 (86 % to 100 %) | 46 of 50",
    "| 16384 | 13.34 GB",
    "| 16GB GPU | 15.54 GB (14.47 GiB) | 32768 | 65536 | 131072 |",
    "It does not fit: 8GB GPU, 12GB GPU, 16GB Mac.",
    "llama-server -m Qwen3-Coder-30B-A3B-Instruct-asym-IQ2_S.gguf -c 16384 -ngl 99",
    "lopsided serve Qwen3-Coder-30B-A3B-Instruct-asym-IQ2_S.gguf",
    evaluation.command,
    evaluation.source.sha256[0],
    evaluation.calibration?.sha256,
    "llama.cpp 0.5.0",
    "predicted KL divergence 0.07210 nats",
  ]) {
    assert.ok(text.includes(String(part)), part);
  }
});

test("a card of several texts has each of them, the worst, and paired differences", () => {
  const { text } = split(renderCard(largeEvaluation()));
  const row = (name: string) => text.split("\n").find((line) => line.startsWith(`| ${name}`)) ?? "";
  assert.match(text, /### By kind of text/);
  assert.match(row("prose"), /prose \\?\(worst\\?\).*25500.*0\.183820 ± /);
  // Divergence grows by the same amounts from chunk to chunk, so that the difference is certain.
  assert.match(row("code"), /\+0\.066060 \\?\(\+0\.066060 to \+0\.066060\\?\)/);
  assert.match(row("together"), /51000/);
});

test("a card without measurements leaves out what it does not know", () => {
  const { calibration: _, evaluations: __, coverage: ___, memory: ____, ...rest } = tinyEvaluation();
  const variants = rest.variants.map(({ measurement: _____, ...variant }) => variant);
  const { data, text } = split(renderCard({ ...rest, variants }));
  checkFrontMatter(data);
  assert.ok(!(data.tags as string[]).includes("imatrix"));
  for (const title of ["## Quality", "## Memory", "## Tasks"]) {
    assert.ok(!text.includes(title), title);
  }
  for (const title of ["## Scheme", "## Use", "## Provenance"]) {
    assert.ok(text.includes(title), title);
  }
  assert.ok(!/undefined|NaN|null/.test(text));
});

test("texts from metadata stay texts", () => {
  const { data, text } = split(renderCard(hostileEvaluation()));
  checkFrontMatter(data);
  assert.ok((data.tags as string[]).includes("fine"));
  // Outside code, nothing is left that Markdown, HTML or the Hub would act on.
  const prose = text
    .replace(/^(`{3,})[a-z]*\n[\s\S]*?\n\1$/gm, "")
    .replace(/(?<!`)(`+)(?!`)[\s\S]*?(?<!`)\1(?!`)/g, "");
  for (const markup of [
    "<img",
    "](http",
    "@everyone",
    "$$",
    "**b**",
    "\n# [l]",
    "http://e",
    "\u202e",
    "<script",
  ]) {
    assert.ok(
      !prose.includes(markup),
      `${markup} in ${prose.slice(prose.indexOf(markup) - 200).slice(0, 400)}`,
    );
  }
  assert.equal(prose.match(/^# /gm)?.length, 1);
});

test("Hugging Face finds the variant in the model file's name, also of a set", () => {
  const evaluation = tinyEvaluation();
  assert.equal(parseGGUFQuantLabel(modelFile(evaluation)), "IQ2_S");
  const [first] = evaluation.files;
  const parts = [1, 2].map((part) => ({
    ...first!,
    name: `${evaluation.name}-0000${part}-of-00002.gguf`,
  }));
  const file = modelFile({ ...evaluation, files: parts });
  assert.equal(file, "tiny-moe-asym-IQ2_S-00001-of-00002.gguf");
  assert.equal(parseGGUFQuantLabel(file), "IQ2_S");
});
