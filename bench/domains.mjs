// Five quantizations of the tiny model on four kinds of text, as `compare` shows them: chat tasks, Python, prose, and
// other scripts and languages. Writes the chart to docs/domains.svg.
//
//   npm run -s build && node bench/domains.mjs [--python FILE] [--chunks 30] [--llama-perplexity PROGRAM] [--threads 1]
//
// Without --python it is what the machine's python3 installation begins with, in the order of names. With
// --llama-perplexity each file is also measured by that program (of the same llama.cpp), on each text, from
// log-probabilities of the source that Lopsided saved.
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { comparisonNote, comparisonRows, textRows } from "../dist/compare/table.js";
import { compare, perplexity, quantize } from "../dist/index.js";
import { writeResult } from "./result.mjs";
import { shippedTexts } from "./shipped-texts.mjs";

const here = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const { values: options } = parseArgs({
  options: {
    python: { type: "string" },
    chunks: { type: "string", default: "30" },
    threads: { type: "string" },
    "llama-perplexity": { type: "string" },
    json: { type: "string", default: "out/bench-domains.json" },
  },
});
const recipes = ["Q4_K_M", "Q3_K_M", "asym-2bit-experts", "Q2_K", "IQ2_XXS"];
const source = here("fixtures/tiny-moe-q8_0.gguf");
const folder = mkdtempSync(join(tmpdir(), "lopsided-bench-"));
const chunks = Number(options.chunks);
const threads = options.threads && Number(options.threads);
const ctx = 512;

try {
  const models = [];
  for (const recipe of recipes) {
    const output = join(folder, `${recipe}.gguf`);
    const imatrix = here("fixtures/reference/imatrix.gguf");
    await quantize({ model: source, output, recipe, imatrix, allowRequantize: true, threads });
    models.push(output);
  }
  const { evaluation } = await shippedTexts(folder, source);
  const shipped = (name) => evaluation.find((text) => text.startsWith(`${name}=`));
  const texts = [
    `chat tasks=${here("fixtures/text/eval.txt")}`,
    `Python=${options.python ?? pythonText(join(folder, "python.txt"), 2e5)}`,
    shipped("prose"),
    shipped("languages"),
  ];
  const common = { ctx, chunks, threads, parseSpecial: true };
  const result = await compare({ source, models, texts, chart: here("docs/domains.svg"), ...common });
  const program = options["llama-perplexity"];
  const theirs = program ? await llamaPerplexity(program, models, texts, common) : [];
  writeResult(options.json, {
    tables: [comparisonRows(result), textRows(result)],
    sentence: comparisonNote(result),
    llamaPerplexity: theirs.map(({ model, text, ...figures }) => {
      const { name, texts: own } = result.models[model];
      const { kld, topAgreement } = own[text];
      return { model: name, text: own[text].name, theirs: figures, ours: { ...kld, topAgreement } };
    }),
  });
} finally {
  rmSync(folder, { recursive: true, force: true });
}

/** So many bytes of the modules of Python's standard library. */
function pythonText(path, bytes) {
  const where = "import sysconfig; print(sysconfig.get_paths()['stdlib'])";
  const library = execFileSync("python3", ["-c", where], { encoding: "utf8" }).trim();
  const modules = readdirSync(library).filter((name) => name.endsWith(".py"));
  const text = modules.sort().map((name) => readFileSync(join(library, name), "utf8"));
  writeFileSync(path, Buffer.from(text.join("\n")).subarray(0, bytes));
  return path;
}

/** The KL divergence of each model on each text as llama-perplexity prints it. */
async function llamaPerplexity(program, models, texts, common) {
  const results = [];
  for (const [text, given] of texts.entries()) {
    const base = join(folder, "base");
    await perplexity({ model: source, text: [given], saveAllLogits: base, ...common });
    for (const [model, path] of models.entries()) {
      const args = ["-m", path, "--kl-divergence", "--kl-divergence-base", base, "-c", String(ctx)];
      const printed = printedBy(program, [...args, "-t", String(threads ?? 1)]);
      const figure = (title) => Number(new RegExp(`^${title}\\s*:\\s*([-.\\d]+)`, "m").exec(printed)?.[1]);
      results.push({
        model,
        text,
        mean: figure("Mean +KLD"),
        median: figure("Median +KLD"),
        p90: figure("90\\.0% +KLD"),
        p99: figure("99\\.0% +KLD"),
        topAgreement: figure("Same top p") / 100,
      });
      console.log(results.at(-1));
    }
  }
  return results;
}

/** What it prints; the program sometimes ends without its last lines, and is then run again. */
function printedBy(program, args) {
  for (let attempt = 0; attempt < 5; attempt++) {
    const printed = execFileSync(program, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
    if (printed.includes("Same top p:")) {
      return printed;
    }
  }
  throw new Error(`${program} printed no figures five times.`);
}
