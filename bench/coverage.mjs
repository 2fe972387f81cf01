// How often paired intervals hold: the tiny model's Q2_K and Q3_K_M by Lopsided, beside their source, chunk by chunk on the
// chat tasks and the texts that ship. Each text's chunks are put into two random halves a hundred times. It is counted
// how often the interval of one half, as `compare` prints it, holds the other half's difference, and how often the 95 %
// interval of the mean does, which is narrower by sqrt 2; the same as printed for halves that are one piece of the text
// each, where chunks that are alike lie together; and how often the interval of the mean of chunks drawn with
// replacement holds the whole text's.
//
//   npm run -s build && node bench/coverage.mjs [--ctx 128] [--chunks 64] [--pairs 100] [--threads 1]
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { pairedDifference } from "../dist/evaluate/paired.js";
import { compare, quantize } from "../dist/index.js";
import { writeResult } from "./result.mjs";
import { shippedTexts } from "./shipped-texts.mjs";

const fixture = (path) => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
const { values: options } = parseArgs({
  options: {
    ctx: { type: "string", default: "128" },
    chunks: { type: "string", default: "64" },
    pairs: { type: "string", default: "100" },
    threads: { type: "string" },
    json: { type: "string", default: "out/bench-coverage.json" },
  },
});
const pairs = Number(options.pairs);
const model = fixture("tiny-moe-q8_0.gguf");
const figures = { kld: ({ kld }) => kld, nll: ({ nll }) => nll };
const folder = mkdtempSync(join(tmpdir(), "lopsided-bench-"));
const next = uniform(1);

try {
  const models = [];
  for (const recipe of ["Q2_K", "Q3_K_M"]) {
    const output = join(folder, `${recipe}.gguf`);
    const imatrix = fixture("reference/imatrix.gguf");
    await quantize({ model, output, recipe, imatrix, allowRequantize: true });
    models.push(output);
  }
  const { evaluation } = await shippedTexts(folder, model);
  const [ctx, chunks] = [options.ctx, options.chunks].map(Number);
  const threads = options.threads && Number(options.threads);
  const texts = [`tasks=${fixture("text/eval.txt")}`, ...evaluation];
  const common = { ctx, chunks, threads, parseSpecial: true, floor: false };
  const { models: measured } = await compare({ source: model, models, texts, ...common });
  const [first, second] = measured;
  const results = first.texts.flatMap(({ name, perChunk }, text) =>
    Object.keys(figures).map((figure) =>
      coverageOf(name, figure, perChunk, second.texts[text].perChunk, figures[figure]),
    ),
  );
  console.table(results);
  writeResult(options.json, { pairs, ctx, results });
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function coverageOf(text, figure, own, other, of) {
  const count = own.length;
  const differenceOf = (places) =>
    pairedDifference([places.map((at) => own[at])], [places.map((at) => other[at])], of);
  const all = Array.from({ length: count }, (_, at) => at);
  const whole = differenceOf(all);
  const held = { whole: 0, mean: 0, printed: 0, pieces: 0 };
  for (let pair = 0; pair < pairs; pair++) {
    const [interval, rest] = halves(shuffled(all)).map(differenceOf);
    held.mean += holds(interval, rest.difference, Math.SQRT1_2);
    held.printed += holds(interval, rest.difference, 1);
    const start = Math.floor(next() * count);
    const [piece, beside] = halves(all.map((at) => (at + start) % count)).map(differenceOf);
    held.pieces += holds(piece, beside.difference, 1);
    const drawn = differenceOf(all.map(() => Math.floor(next() * count)));
    held.whole += holds(drawn, whole.difference, Math.SQRT1_2);
  }
  const values = all.map((at) => of(own[at]) - of(other[at]));
  const { difference, error } = whole;
  return { text, figure, chunks: count, difference, error, correlation: correlationOf(values), ...held };
}

function holds({ difference, low, high }, value, factor) {
  return Math.abs(value - difference) <= (factor * (high - low)) / 2 ? 1 : 0;
}

function halves(places) {
  const middle = Math.floor(places.length / 2);
  return [places.slice(0, middle), places.slice(middle)];
}

function shuffled(places) {
  const order = [...places];
  for (let at = order.length - 1; at > 0; at--) {
    const other = Math.floor(next() * (at + 1));
    [order[at], order[other]] = [order[other], order[at]];
  }
  return order;
}

/** Correlation of neighbouring chunks. */
function correlationOf(values) {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const apart = values.map((value) => value - mean);
  const product = (by) => apart.slice(by).reduce((sum, value, at) => sum + value * apart[at], 0);
  return product(1) / product(0);
}

/** Numbers in [0, 1), the same in each run: bits of SplitMix32. */
function uniform(seed) {
  let state = seed;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let bits = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    bits = Math.imul(bits ^ (bits >>> 15), 0x735a2d97);
    return ((bits ^ (bits >>> 15)) >>> 0) / 2 ** 32;
  };
}
