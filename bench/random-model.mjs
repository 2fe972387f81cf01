// A model of the reference case's shapes with random weights, as Q8_0 or in a recipe's types, and an importance matrix
// for it. Rows are drawn from a store of 4096 random rows: quantizing takes its time over every row, whether it saw it
// before or not.
import { open } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { planGguf } from "../dist/gguf/layout.js";
import { writeImatrixFile } from "../dist/imatrix/file.js";
import { openGguf } from "../dist/model/gguf-model.js";
import { rowCount } from "../dist/model/source.js";
import { encodeRows } from "../dist/quants/codec.js";
import { rowBytes } from "../dist/quants/types.js";
import { loadRecipe } from "../dist/recipe/presets.js";
import { chooseTypes } from "../dist/recipe/type-plan.js";
import { fill, gaussian, uniform } from "../dist/testing/random.js";
import { referenceMetadata, referenceTensors } from "../dist/testing/reference-geometry.js";

const storedRows = 4096;

/** The tiny model's tokenizer, with unused tokens up to the reference case's vocabulary. */
async function vocabulary(size) {
  const source = await openGguf(fileURLToPath(new URL("../fixtures/tiny-moe-q8_0.gguf", import.meta.url)));
  await source.close();
  const entries = [...source.metadata].filter(([key]) => key.startsWith("tokenizer."));
  const pad = (array, filler) => ({
    ...array,
    value: Array.from({ length: size }, (_, i) => array.value[i] ?? filler(i)),
  });
  const unused = 5;
  return entries.map(([key, value]) =>
    key === "tokenizer.ggml.tokens"
      ? [key, pad(value, (i) => `[unused${i}]`)]
      : key === "tokenizer.ggml.token_type"
        ? [key, pad(value, () => unused)]
        : [key, value],
  );
}

/**
 * Writes the first `layers` layers, embedding and output, or those of their tensors that are to be kept, with fewer
 * experts or in the types of a recipe if wanted. Returns the number of weights.
 */
export async function writeRandomModel(path, layers, { keep = () => true, experts = Infinity, recipe } = {}) {
  const tensors = (await referenceTensorsAs(recipe))
    .filter(({ name }) => {
      const layer = /^blk\.(\d+)\./.exec(name)?.[1];
      return layer === undefined || Number(layer) < layers;
    })
    .filter(keep)
    .map(({ name, type, shape: [columns, rows, matrices] }) => ({
      name,
      type,
      shape: matrices ? [columns, rows, Math.min(matrices, experts)] : rows ? [columns, rows] : [columns],
    }));
  const reference = referenceMetadata();
  const tokenizer = await vocabulary(reference.get("qwen3moe.vocab_size").value);
  const metadata = new Map([...reference, ...tokenizer]).set("qwen3moe.block_count", {
    type: "uint32",
    value: layers,
  });
  const layout = planGguf({ metadata, tensors });
  const random = uniform(1);
  const file = await open(path, "w");
  try {
    await file.write(layout.header, 0, layout.header.byteLength, 0);
    for (const { type, shape, offset } of layout.tensors) {
      const stride = rowBytes(type, shape[0]);
      const store = randomRows(type, shape[0]);
      for (let row = 0; row < rowCount(shape); ) {
        const count = Math.min(rowCount(shape) - row, 256);
        const from = Math.floor(random() * (storedRows - count));
        const bytes = store.subarray(from * stride, (from + count) * stride);
        await file.write(bytes, 0, bytes.byteLength, offset + row * stride);
        row += count;
      }
    }
    await file.truncate(layout.byteLength);
  } finally {
    await file.close();
  }
  return tensors.reduce((sum, { shape }) => sum + shape.reduce((product, size) => product * size, 1), 0);
}

/** The reference case's tensors, as Q8_0 or in the types of a recipe. */
async function referenceTensorsAs(recipe) {
  const tensors = referenceTensors("Q8_0");
  if (recipe === undefined) {
    return tensors;
  }
  const plan = chooseTypes({ tensors, metadata: referenceMetadata(), recipe: await loadRecipe(recipe) });
  return plan.tensors.map(({ name, shape, to }) => ({ name, shape, type: to }));
}

const stores = new Map();

function randomRows(type, columns) {
  const key = `${type} ${columns}`;
  if (!stores.has(key)) {
    const next = gaussian(stores.size);
    const numbers = fill(1 << 16, () => 0.02 * next());
    const random = uniform(stores.size);
    const store = new Uint8Array(storedRows * rowBytes(type, columns));
    const weights = new Float32Array(columns);
    for (let row = 0; row < storedRows; row++) {
      const from = Math.floor(random() * numbers.length);
      for (let i = 0; i < columns; i++) {
        weights[i] = numbers[(from + i) % numbers.length];
      }
      encodeRows(
        type,
        weights,
        columns,
        undefined,
        store.subarray(row * rowBytes(type, columns)).subarray(0, rowBytes(type, columns)),
      );
    }
    stores.set(key, store);
  }
  return stores.get(key);
}

/** Writes log-normal importance for all matrices that are quantized, but for embedding and output. */
export async function writeRandomImatrix(path, layers) {
  const entries = new Map();
  const next = gaussian(99);
  for (const { name, shape, type } of referenceTensors("Q8_0")) {
    const layer = /^blk\.(\d+)\./.exec(name)?.[1];
    if (type !== "Q8_0" || layer === undefined || Number(layer) >= layers) {
      continue;
    }
    const matrices = shape[2] ?? 1;
    entries.set(name, {
      sums: fill(shape[0] * matrices, () => 1000 * Math.exp(next())),
      counts: new Float64Array(matrices).fill(1000),
    });
  }
  const imatrix = {
    name: path,
    format: "gguf",
    entries,
    datasets: ["random"],
    chunkCount: 1,
    chunkSize: 512,
  };
  await writeImatrixFile(path, imatrix, "gguf");
}
