// One quantization in a process of its own, so that its memory and processor time can be told:
// node bench/quantize-once.mjs lopsided|llama.cpp JSON. Prints one line of JSON.
import { readImatrixFile } from "../dist/imatrix/file.js";
import { importanceOf } from "../dist/imatrix/importance.js";
import { quantize } from "../dist/index.js";
import { llamaQuantize } from "../dist/testing/llama-quantize.js";

const [who, json] = process.argv.slice(2);
const options = JSON.parse(json);
const started = performance.now();
const result = await (who === "lopsided" ? ours() : theirs());
const { userCPUTime, systemCPUTime, maxRSS } = process.resourceUsage();
console.log(
  JSON.stringify({
    ...result,
    seconds: (performance.now() - started) / 1000,
    cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
    peakRssBytes: maxRSS * 1024,
  }),
);

async function ours() {
  const { sha256, bytes } = await quantize({ ...options, priorWeight: 0, allowRequantize: true });
  return { sha256, bytes };
}

/** The same types with the same importance. */
async function theirs() {
  const { model, output, imatrix: imatrixPath, threads } = options;
  const { tensors } = await quantize({
    ...options,
    output: `${output}.plan`,
    priorWeight: 0,
    allowRequantize: true,
    dryRun: true,
  });
  const imatrix = await readImatrixFile(imatrixPath);
  const importance = new Map();
  for (const { name, shape } of tensors) {
    const experts = shape[2] ?? 1;
    const found =
      imatrix.entries.has(name) &&
      importanceOf(imatrix, name, { columns: shape[0], experts, priorWeight: 0 });
    if (found) {
      importance.set(name, Float32Array.from(found.experts.flatMap((row) => [...row])));
    }
  }
  const quantized = tensors.filter(({ from, to }) => from !== to);
  const typeOf = (wanted) => tensors.find(({ name }) => name === wanted)?.to;
  llamaQuantize(model, output, {
    threads,
    tensorTypes: quantized.map(({ name, to }) => ({ pattern: `^${name.replaceAll(".", "\\.")}$`, type: to })),
    tokenEmbeddingType: typeOf("token_embd.weight"),
    outputTensorType: typeOf("output.weight") ?? typeOf("token_embd.weight"),
    importance,
  });
  return {};
}
