// Runs the tiny model on a graphics processor as users do, and compares: whole there, in windows that are all it may
// hold, with experts in the machine's memory, without it. Where there is no graphics processor Mesa's software
// implementation of Vulkan is one:
//
//   apt-get install mesa-vulkan-drivers
//   npm install --no-save @node-llama-cpp/linux-x64-vulkan@3.22.1
//   GGML_VK_VISIBLE_DEVICES=0 node scripts/try-gpu.mjs
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Engine } from "../dist/engine/engine.js";
import { graphicsFor } from "../dist/engine/gpus.js";
import { Generator } from "../dist/generate/generator.js";
import { imatrix, perplexity } from "../dist/index.js";

const model = fileURLToPath(new URL("../fixtures/tiny-moe-q8_0.gguf", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "lopsided-gpu-"));
const text = join(folder, "text.txt");
const source = new URL("../fixtures/text/calibration.txt", import.meta.url);
writeFileSync(text, readFileSync(source, "utf8").slice(0, 3000));
const engine = new Engine();
const run = { model, text, ctx: 128, chunks: 2 };
const failures = [];

function check(what, holds) {
  console.log(`${holds ? "ok  " : "NOT "} ${what}`);
  if (!holds) {
    failures.push(what);
  }
}

async function statistics(options) {
  const output = join(folder, "imatrix.gguf");
  const windows = new Set();
  const notes = [];
  const { seconds } = await imatrix({
    ...run,
    output,
    engine,
    onProgress: ({ detail }) => windows.add(detail),
    onWarning: (note) => notes.push(note),
    ...options,
  });
  return {
    hash: createHash("sha256").update(readFileSync(output)).digest("hex"),
    windows: [...windows].filter((detail) => detail?.startsWith("layers")).length,
    notes: notes.join(" "),
    seconds,
  };
}

async function answer(gpuMemory) {
  const notes = [];
  const generator = new Generator({
    model: { path: model },
    slots: 1,
    contextLength: 128,
    gpuMemory,
    onNote: (note) => notes.push(note),
  });
  try {
    const request = { prompt: "def add(a, b):", maxTokens: 8, sampling: { temperature: 0 } };
    return { text: (await generator.generate(request)).text, notes: notes.join(" ") };
  } finally {
    await generator.close();
  }
}

try {
  const graphics = await graphicsFor(engine, {});
  if (graphics === undefined) {
    console.error("llama.cpp finds no graphics processor here; see the head of this script.");
    process.exit(2);
  }
  console.log(`${graphics.names.join(", ")}: ${(graphics.roomBytes / 1e9).toFixed(2)} GB for weights`);
  const whole = await statistics({});
  check("the model fits and is run in one piece", whole.windows === 0 && whole.notes.search(/fit/) < 0);
  const windows = await statistics({ gpuMemory: 5e6 });
  check(`with 5 MB it is run in windows (${windows.windows})`, windows.windows === 4);
  check("whose statistics are the same, to the bit", windows.hash === whole.hash);
  const onGpu = await perplexity({ ...run, engine });
  const onCpu = await perplexity({ ...run, engine, gpuLayers: 0 });
  const ratio = onGpu.ppl / onCpu.ppl;
  check(
    `perplexity is ${ratio.toFixed(5)} of that with all weights in the machine's memory`,
    Math.abs(ratio - 1) < 0.005,
  );
  await engine.close();
  const [free, few] = [await answer(undefined), await answer(13e6)];
  check(`with 13 MB experts stay in the machine's memory: ${few.notes}`, /the experts of \d/.test(few.notes));
  check(`and the answer is the same: ${JSON.stringify(few.text)}`, few.text === free.text);
} finally {
  await engine.close();
  rmSync(folder, { recursive: true });
}
process.exit(failures.length > 0 ? 1 : 0);
