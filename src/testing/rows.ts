/** Rows to try encoders on, each with its importance: made up ones, and real ones of the tiny model. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { readImatrixFile } from "../imatrix/file.js";
import { importanceOf } from "../imatrix/importance.js";
import { decodeRows } from "../quants/codec.js";
import { fill, gaussian, laplacian } from "./random.js";

export interface Rows {
  readonly label: string;
  readonly weights: Float32Array;
  readonly columns: number;
  /** One value per column; undefined: all alike. */
  readonly importance: Float32Array | undefined;
}

/** Rows of random weights of about a model's size; with importance: log-normal, as activations have it. */
export function randomRows(
  distribution: "gaussian" | "laplacian",
  rows: number,
  columns: number,
  weighted: boolean,
  seed = 1,
): Rows {
  const next = distribution === "gaussian" ? gaussian(seed) : laplacian(seed);
  const logarithm = gaussian(seed + 1000);
  return {
    label: `${distribution} rows of ${columns}, ${weighted ? "log-normal" : "uniform"} importance`,
    weights: fill(rows * columns, () => 0.02 * next()),
    columns,
    importance: weighted ? fill(columns, () => Math.exp(logarithm())) : undefined,
  };
}

interface SafetensorsEntry {
  readonly shape: readonly [number, number];
  readonly data_offsets: readonly [number, number];
}

/**
 * The first rows of routed experts of the tiny model, with the importance of the reference imatrix: gate, up and
 * down of one expert of each layer.
 */
export async function realRows(rows: number): Promise<Rows[]> {
  const fixtures = new URL("../../fixtures/", import.meta.url);
  const imatrix = await readImatrixFile(fileURLToPath(new URL("reference/imatrix.gguf", fixtures)));
  const model = readFileSync(new URL("tiny-moe/model.safetensors", fixtures));
  const headerBytes = Number(model.readBigUInt64LE());
  const header = JSON.parse(model.toString("utf8", 8, 8 + headerBytes)) as Record<string, SafetensorsEntry>;
  return [0, 1, 2, 3].flatMap((layer) =>
    ["gate", "up", "down"].map((part) => {
      const expert = 3 * layer + 1;
      const entry = header[`model.layers.${layer}.mlp.experts.${expert}.${part}_proj.weight`]!;
      const columns = entry.shape[1];
      const from = 8 + headerBytes + entry.data_offsets[0];
      const weights = new Float32Array(rows * columns);
      decodeRows("BF16", model.subarray(from, from + 2 * weights.length), weights);
      const name = `blk.${layer}.ffn_${part}_exps.weight`;
      const importance = importanceOf(imatrix, name, { columns, experts: 16, priorWeight: 0 });
      return {
        label: `${name}, expert ${expert}`,
        weights,
        columns,
        importance: importance!.experts[expert],
      };
    }),
  );
}
