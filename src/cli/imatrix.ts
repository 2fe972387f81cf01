/** What `imatrix` prints. */
import type { ImatrixResult } from "../imatrix/compute.js";
import { type ExpertCoverage, meaningOf, tokensPerDimension } from "../imatrix/coverage.js";
import { formatBytes, formatCount, formatDuration } from "../units.js";
import { formatTable } from "./table.js";
import type { View } from "./view.js";

export const view: View<ImatrixResult> = { lines: describe };

function describe(result: ImatrixResult): readonly string[] {
  const { output, tensors, chunks, tokens, resumedFrom, seconds, tokensPerSecond, coverage } = result;
  const resumed = resumedFrom > 0 ? ` (${resumedFrom} of them by an earlier run)` : "";
  const lines = [
    `${output}: ${tensors} tensors, ${chunks} chunks${resumed}, ${formatCount(tokens)} tokens, ${formatDuration(seconds)}, ${formatCount(tokensPerSecond)} tokens/s`,
  ];
  if (result.moments) {
    const { output, inputs, matrices, passes, thinnest, tokensPerDimension } = result.moments;
    lines.push(
      `${output}: second moments of ${inputs} inputs, ${matrices} matrices, ${passes} passes; the thinnest, ${thinnest}, has ${tokensPerDimension.toFixed(1)} tokens per dimension`,
    );
  }
  if (result.activations) {
    const { output, bytes, bits, layers, tokens, tokensPerDimension, fewestPerDimension } =
      result.activations;
    lines.push(
      `${output}: inputs of experts in ${layers} layers, ${formatCount(tokens)} tokens at ${bits} bits, ${formatBytes(bytes)}; ${tokensPerDimension.toFixed(1)} tokens per dimension and expert (fewest ${fewestPerDimension.toFixed(1)})`,
    );
  }
  const perDimension = tokensPerDimension(coverage);
  if (perDimension !== undefined) {
    const { median, fewest } = perDimension;
    lines.push(
      `experts: ${median.toFixed(1)} tokens per dimension (median; fewest ${fewest.toFixed(1)}), ${meaningOf(median)}`,
    );
  }
  return coverage.length === 0 ? lines : [...coverageTable(coverage), "", ...lines];
}

/** One line for the tensors of a layer whose experts saw the same tokens; per dimension of their widest input. */
function coverageTable(coverage: readonly ExpertCoverage[]): readonly string[] {
  const groups = new Map<string, { names: string[]; row: ExpertCoverage }>();
  for (const row of coverage) {
    const [layer, name] = splitName(row.tensor);
    const key = `${layer} ${row.tokens.join()}`;
    const { names, row: widest } = groups.get(key) ?? { names: [], row };
    groups.set(key, { names: [...names, name], row: row.columns > widest.columns ? row : widest });
  }
  return formatTable(
    ["layer", "tensors", "experts", "unseen", "fewest tokens", "most tokens", "fewest per dim.", "median"],
    [...groups.values()].map(({ names, row }) => [
      splitName(row.tensor)[0],
      names.join(", "),
      ...[row.experts, row.unseen, row.fewest, row.most].map(String),
      ...[row.fewestPerDimension, row.medianPerDimension].map((value) => value.toFixed(1)),
    ]),
    [2, 3, 4, 5, 6, 7],
  );
}

/** `blk.3.ffn_up_exps.weight` is layer `blk.3`, tensor `ffn_up_exps`. */
function splitName(tensor: string): [string, string] {
  const [, layer, name] = /^(blk\.\d+)\.(.*?)(?:\.weight)?$/.exec(tensor) ?? [];
  return layer === undefined || name === undefined ? ["", tensor] : [layer, name];
}
