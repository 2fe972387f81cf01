/**
 * Which experts a model can best do without: those that add least to their layers. What an expert adds is counted as the
 * tokens that it sees times the square of what it adds to one of them on average, which is the error of the layer's
 * output without it, less what single tokens do. (REAP, arXiv 2510.13999, takes the average alone.)
 */
import { UsageError } from "../errors.js";
import { Architecture } from "../model/architecture.js";
import { expertLayersOf, groupsOf } from "../model/pruned-experts.js";
import { nextnLayersOf } from "../model/roles.js";
import type { ModelSource } from "../model/source.js";
import { decodeRows } from "../quants/codec.js";
import type { Imatrix } from "./imatrix.js";

/** The experts of a layer, and which of them stay. */
export interface LayerChoice {
  readonly layer: number;
  /** Ascending. */
  readonly kept: readonly number[];
  readonly dropped: readonly number[];
  /** Part that the dropped ones have of what all experts of the layer add; undefined if that was not measured. */
  readonly lost: number | undefined;
}

/**
 * The `count` experts of each layer that add most, by the imatrix; of groups as many each. Of layers that
 * predict further tokens and were not run when the statistics were collected, those with the longest rows of the router.
 * Throws a UsageError if the imatrix does not say what each expert adds.
 */
export async function chooseExperts(
  source: ModelSource,
  imatrix: Imatrix,
  count: number,
): Promise<LayerChoice[]> {
  const { experts } = new Architecture(source.metadata);
  const { groups } = groupsOf(source.metadata);
  const nextn = nextnLayersOf(source.tensors.map(({ name }) => name));
  const choices: LayerChoice[] = [];
  for (const layer of expertLayersOf(source.tensors)) {
    const entry = imatrix.entries.get(`blk.${layer}.ffn_down_exps.weight`);
    const outputs = entry?.outputs?.map((sum, expert) => sum ** 2 / Math.max(1, entry.counts[expert] ?? 1));
    if (outputs === undefined && nextn.has(layer)) {
      choices.push({ layer, ...best(await routerNorms(source, layer), count, groups), lost: undefined });
      continue;
    }
    if (outputs?.length !== experts) {
      throw new UsageError(
        `${imatrix.name}: does not say how much each of the ${experts} experts of layer ${layer} adds; collect that with "lopsided imatrix --expert-outputs".`,
        { file: imatrix.name, layer },
      );
    }
    const { kept, dropped } = best(outputs, count, groups);
    choices.push({ layer, kept, dropped, lost: shareOf(outputs, dropped) });
  }
  return choices;
}

/** The highest of each group, of equals the first. */
function best(
  scores: ArrayLike<number>,
  count: number,
  groups: number,
): { readonly kept: readonly number[]; readonly dropped: readonly number[] } {
  const size = scores.length / groups;
  const kept = Array.from({ length: groups }, (_, group) =>
    Array.from({ length: size }, (_, i) => group * size + i)
      .sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b)
      .slice(0, count / groups)
      .sort((a, b) => a - b),
  ).flat();
  const isKept = new Set(kept);
  return { kept, dropped: [...Array(scores.length).keys()].filter((expert) => !isKept.has(expert)) };
}

function shareOf(outputs: Float32Array, experts: readonly number[]): number {
  const all = outputs.reduce((sum, value) => sum + value, 0);
  return all > 0 ? experts.reduce((sum, expert) => sum + (outputs[expert] ?? 0), 0) / all : 0;
}

async function routerNorms({ name, tensors }: ModelSource, layer: number): Promise<number[]> {
  const router = tensors.find((tensor) => tensor.name === `blk.${layer}.ffn_gate_inp.weight`);
  const [columns = 0, rows = 0] = router?.shape ?? [];
  if (router === undefined) {
    throw new UsageError(`${name}: layer ${layer} has experts and no router; the model cannot be pruned.`);
  }
  const weights = new Float32Array(columns * rows);
  decodeRows(router.type, await router.readRows(0, rows), weights);
  return Array.from({ length: rows }, (_, row) =>
    Math.hypot(...weights.subarray(row * columns, (row + 1) * columns)),
  );
}
