// Ways to encode the tiny model at the bytes of asym-2bit-experts, by divergence from its BF16 original, over several
// realizations (bench/permuted.mjs): a single run's noise is 5 %.
//
//   npm run -s build && node bench/realizations.mjs [--texts eval=E,python=P] [--calibration FILE] [--realizations 3]
//     [--ways llama.cpp,default,pooled,pooled-scales,matrices,activations,scales,noise,plan,rounds,rounds-scales]
//     [--chunks 40] [--tokens N] [--keep FOLDER]
//
// pooled: --effort max with one matrix of second moments for gate and up of all experts of a layer; matrices: with a
// matrix for each expert; activations: with kept activations; pooled-scales, scales, rounds-scales: the files of
// "pooled", "activations" and "rounds" with scales fitted on the text of their moments or activations; noise:
// types chosen by `plan` with sensitivities measured by noise on the calibration text, the same activations; plan: with
// what the errors of the file of "activations" cost on text that neither calibration nor evaluation has; rounds: the same
// of a file with types planned by role and depth, as make does. --tokens:
// calibrate the moments and activations on so many tokens, other ones in each realization, the importance matrix still on
// the whole text. --keep: leave all files there; a later run goes on with them. Without
// --calibration: the fixture's tasks and as much code and prose of the shipped mix; the shipped prose is always measured
// too. All texts are read with special tokens.
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { compare, convert, imatrix, plan, quantize, scales, sensitivity } from "../dist/index.js";
import { readShippedText } from "../dist/text/shipped-texts.js";
import { writePermuted } from "./permuted.mjs";
import { writeResult } from "./result.mjs";

const fixture = (path) => fileURLToPath(new URL(`../fixtures/${path}`, import.meta.url));
const { values: options } = parseArgs({
  options: {
    calibration: { type: "string" },
    texts: { type: "string", default: `eval=${fixture("text/eval.txt")}` },
    chunks: { type: "string", default: "40" },
    realizations: { type: "string", default: "3" },
    ways: {
      type: "string",
      default: "llama.cpp,default,pooled,pooled-scales,matrices,activations,scales,noise,plan,rounds",
    },
    tokens: { type: "string" },
    threads: { type: "string", default: "2" },
    keep: { type: "string" },
    json: { type: "string", default: "out/bench-realizations.json" },
  },
});
const threads = Number(options.threads);
const folder = options.keep ?? mkdtempSync(join(tmpdir(), "lopsided-bench-"));
const ctx = 512;
const scarce = options.tokens && { chunks: Math.round(Number(options.tokens) / ctx) };
const ways = options.ways.split(",");
const recipe = "asym-2bit-experts";

/** Runs what makes a file unless it is there from an earlier run. */
async function once(path, make) {
  if (!existsSync(path)) {
    await make(path);
  }
  return path;
}

/** Measures files of a realization unless an earlier run has kept what it measured. */
async function compared(seed, request) {
  const path = join(folder, `${seed}-${scarce ? `${scarce.chunks}-` : ""}${ways.join("+")}.json`);
  await once(path, async () => writeFileSync(path, JSON.stringify(await compare(request))));
  return JSON.parse(readFileSync(path, "utf8"));
}

/** Pieces of the shipped mix: those of each kind that fill so many characters, after those that fill the first. */
async function piecesOf(kinds, { characters, after = 0 }) {
  const seen = Object.fromEntries(kinds.map((kind) => [kind, 0]));
  const parts = [];
  for (const line of (await readShippedText("calibration.jsonl")).split("\n").filter(Boolean)) {
    const { kind, text, messages } = JSON.parse(line);
    const piece =
      text ?? messages.map(({ role, content }) => `<|im_start|>${role}\n${content}<|im_end|>`).join("\n");
    if (kind in seen && seen[kind] < after + characters) {
      if (seen[kind] >= after) {
        parts.push(piece);
      }
      seen[kind] += piece.length;
    }
  }
  return parts;
}

/**
 * The tasks of the fixture, and of the shipped mix as many characters of each of the kinds that are plain text. Of few
 * tokens the kinds take turns, and every realization begins elsewhere.
 */
async function mixedText(seed) {
  const tasks = readFileSync(fixture("text/calibration.txt"), "utf8");
  const kinds = [[tasks]];
  for (const kind of ["code", "prose"]) {
    kinds.push(await piecesOf([kind], { characters: tasks.length }));
  }
  const path = join(folder, scarce ? `${seed}-mixed.txt` : "mixed.txt");
  const parts = scarce ? inTurn(kinds.map((pieces) => rotated(cut(pieces), seed / 5))) : kinds.flat();
  writeFileSync(path, parts.join("\n\n"));
  return path;
}

/** Pieces of whole lines with at most about 1000 characters. */
function cut(pieces) {
  const parts = [""];
  for (const line of pieces.join("\n\n").split("\n")) {
    if (parts.at(-1).length + line.length > 1000) {
      parts.push("");
    }
    parts.push(`${parts.pop()}${line}\n`);
  }
  return parts;
}

/** A list that begins at a share of its length. */
function rotated(list, share) {
  const at = Math.floor(list.length * (share % 1));
  return [...list.slice(at), ...list.slice(0, at)];
}

/** Lists one after another, the next piece always of the one that has had the fewest characters. */
function inTurn(lists) {
  const taken = lists.map(() => 0);
  const parts = [];
  const left = lists.map((list) => [...list]);
  while (left.some((list) => list.length > 0)) {
    const next = taken.indexOf(Math.min(...taken));
    const part = left[next].shift();
    taken[next] = left[next].length > 0 ? taken[next] + part.length : Infinity;
    parts.push(part);
  }
  return parts;
}

/** Code, prose and conversations of the shipped mix that `mixedText` has not. */
async function otherText() {
  const path = join(folder, "other.txt");
  const plain = await piecesOf(["code", "prose"], { characters: 24_000, after: 48_000 });
  const chat = await piecesOf(["chat", "tools"], { characters: 12_000 });
  writeFileSync(path, [...plain, ...chat].join("\n\n"));
  return path;
}

/** The files of one realization, and what they are compared with. */
async function encodeAll(seed, calibration) {
  const place = (name) => join(folder, `${seed}-${scarce ? `${scarce.chunks}-` : ""}${name}`);
  const shared = (name) => join(folder, `${seed}-${name}`);
  const plain = await once(join(folder, "bf16.gguf"), (output) =>
    convert({ folder: fixture("tiny-moe"), output, type: "BF16" }),
  );
  const model = await once(shared("model.gguf"), (output) => writePermuted(plain, output, seed));
  const text = { model, text: calibration, parseSpecial: true, threads, ctx };
  const importance = await once(shared("imatrix.gguf"), (output) => imatrix({ ...text, output }));
  const collect = { ...text, ...scarce };
  const matrices = () =>
    once(place("matrices.gguf"), async (moments) => {
      const momentsOf = ["routed", "attention"];
      await imatrix({ ...collect, output: place("m.gguf"), moments, momentsPerExpert: true, momentsOf });
    });
  const pooled = () =>
    once(place("pooled.gguf"), async (moments) => {
      await imatrix({ ...collect, output: place("p.gguf"), moments, momentsOf: ["routed", "attention"] });
    });
  const activations = () =>
    once(place("activations.gguf"), (kept) =>
      imatrix({ ...collect, output: place("a.gguf"), activations: kept, moments: place("moments.gguf") }),
    );
  const request = { model, imatrix: importance, threads, priorWeight: 0 };
  const byActivations = async () => ({
    ...request,
    effort: "max",
    activations: [await activations()],
    moments: place("moments.gguf"),
  });
  const encode = {
    "llama.cpp": (output) => {
      const script = fileURLToPath(new URL("quantize-once.mjs", import.meta.url));
      const json = JSON.stringify({ ...request, recipe, output });
      execFileSync(process.execPath, [script, "llama.cpp", json], { stdio: ["ignore", "ignore", "inherit"] });
    },
    default: (output) => quantize({ ...request, recipe, output }),
    pooled: async (output) =>
      quantize({ ...request, recipe, output, effort: "max", moments: await pooled() }),
    "pooled-scales": (output) => fitted(files.pooled, output),
    scales: (output) => fitted(files.activations, output),
    "rounds-scales": (output) => fitted(files.rounds, output),
    matrices: async (output) =>
      quantize({ ...request, recipe, output, effort: "max", moments: await matrices() }),
    activations: async (output) => quantize({ ...(await byActivations()), recipe, output }),
    noise: async (output) =>
      planned("noise", output, (costs) =>
        sensitivity({ ...text, imatrix: importance, output: costs, chunks: 16, rounds: 2 }),
      ),
    plan: async (output) => planned("plan", output, (costs) => costsOf(files.activations, costs)),
    rounds: async (output) => {
      const first = place("first.gguf");
      await planned("first", first, undefined);
      await planned("rounds", output, (costs) => costsOf(first, costs));
    },
  };
  const fitted = (quantized, output) => {
    const { text, ...others } = collect;
    return scales({ ...others, model: quantized, output, source: model, calibration: text });
  };
  /** Measures what the errors of a quantization cost. */
  const costsOf = async (quantized, output) =>
    sensitivity({
      ...text,
      text: await otherText(),
      imatrix: importance,
      quantized,
      output,
      chunks: 32,
    });
  /** Encodes with the types of a plan at the bytes of the preset, by costs that are measured first or by role and depth. */
  const planned = async (name, output, measure) => {
    const costs = measure && (await once(place(`${name}.json`), measure));
    const types = place(`${name}.yaml`);
    const { predicted } = await plan({
      ...(await byActivations()),
      output: types,
      size: `${statSync(files.activations).size}`,
      sensitivity: costs,
    });
    console.log(`${name} predicts ${predicted.toFixed(6)}`);
    await quantize({ ...(await byActivations()), recipe: types, output });
  };
  const files = {};
  for (const way of ways) {
    files[way] = await once(place(`${way}.out.gguf`), encode[way]);
  }
  return { model, files };
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Mean and standard error over realizations. */
function estimate(values) {
  const center = mean(values);
  const variance = values.reduce((sum, value) => sum + (value - center) ** 2, 0) / (values.length - 1);
  return { mean: center, error: values.length > 1 ? Math.sqrt(variance / values.length) : undefined };
}

try {
  mkdirSync(folder, { recursive: true });
  const prose = join(folder, "prose.txt");
  writeFileSync(prose, await readShippedText("prose.txt"));
  const runs = [];
  for (let seed = 0; seed < Number(options.realizations); seed++) {
    const calibration = options.calibration ?? (await mixedText(seed));
    const { model, files } = await encodeAll(seed, calibration);
    const { models } = await compared(seed, {
      source: model,
      models: Object.values(files),
      texts: [...options.texts.split(","), `prose=${prose}`],
      chunks: Number(options.chunks),
      parseSpecial: true,
      floor: false,
      threads,
      ctx,
    });
    const run = Object.fromEntries(
      models.map(({ bytes, texts }, i) => [
        ways[i],
        { bytes, kld: Object.fromEntries(texts.map(({ name, kld }) => [name, kld.mean])) },
      ]),
    );
    runs.push(run);
    console.log(JSON.stringify({ seed, ...run }));
  }
  // Ratios to the mean of the first way over all realizations, as its own noise would be in every ratio otherwise.
  const names = Object.keys(runs[0][ways[0]].kld);
  const base = Object.fromEntries(
    names.map((name) => [name, mean(runs.map((run) => run[ways[0]].kld[name]))]),
  );
  const summary = ways.map((way) => {
    const ratios = runs.map((run) => names.map((name) => run[way].kld[name] / base[name]));
    const texts = names.map((name, i) => [name, estimate(ratios.map((row) => row[i]))]);
    const geometric = estimate(ratios.map((row) => Math.exp(mean(row.map(Math.log)))));
    return { way, bytes: runs[0][way].bytes, texts: Object.fromEntries(texts), geometric };
  });
  for (const { way, texts, geometric } of summary) {
    const shown = ({ mean: value, error }) => `${value.toFixed(3)} +- ${error?.toFixed(3) ?? "?"}`;
    const columns = Object.entries(texts).map(([name, value]) => `${name} ${shown(value)}`);
    console.log(`${way.padEnd(12)} ${columns.join("  ")}  geometric mean ${shown(geometric)}`);
  }
  writeResult(options.json, { base, summary, runs });
} finally {
  if (options.keep === undefined) {
    rmSync(folder, { recursive: true, force: true });
  }
}
