/**
 * Collects the importance matrix while a model computes: which products are watched and how their inputs add up
 * is llama-imatrix's (`collect_imatrix` in llama.cpp `tools/imatrix/imatrix.cpp`).
 */

import { operandOf, raiseLayer, weightName } from "../activations/operands.js";
import type { Observer } from "../engine/observer.js";
import type { NativeTensor } from "../engine/tensor.js";
import { InternalError } from "../errors.js";
import { loadReducer } from "../reduce/load.js";
import type { ImatrixEntry } from "./imatrix.js";

/** Dense products with fewer rows are left out: they are single tokens, not calibration text. */
const fewestRows = 16;

export interface CollectorOptions {
  /** Also watch the output matrix, which is not in a layer. */
  readonly processOutput: boolean;
}

export class ImatrixCollector implements Observer {
  readonly operations = ["MUL_MAT", "MUL_MAT_ID"];
  /** What was seen since the last `take`. */
  entries = new Map<string, ImatrixEntry>();
  /** Number of the first layer of the window that is watched. */
  firstLayer = 0;
  readonly #reducer = loadReducer();

  readonly #options: CollectorOptions;

  constructor(options: CollectorOptions) {
    this.#options = options;
  }

  /** The statistics of a group of chunks that is complete; those of the next one begin anew. */
  take(): Map<string, ImatrixEntry> {
    const taken = this.entries;
    this.entries = new Map();
    return taken;
  }

  wants(node: NativeTensor): boolean {
    if (node.operation === "MUL_MAT_ID") {
      return true;
    }
    const input = operandOf(node, 1);
    const name = weightName(operandOf(node, 0));
    // DeepSeek V4's has a few streams for each of many tokens.
    const rows = name.endsWith(".nextn.eh_proj.weight") ? input.shape[1] * input.shape[2] : input.shape[1];
    if (rows < fewestRows || input.type !== "F32") {
      return false;
    }
    return name.startsWith("blk.") || (this.#options.processOutput && name === "output.weight");
  }

  observe(node: NativeTensor): void {
    if (node.operation === "MUL_MAT_ID") {
      this.#addRouted(node);
    } else {
      this.#addDense(node);
    }
  }

  /** A product with one matrix per expert: weight [in, out, experts], input [in, slots or 1, tokens], choice [slots, tokens]. */
  #addRouted(node: NativeTensor): void {
    const [weight, input, choice] = [operandOf(node, 0), operandOf(node, 1), operandOf(node, 2)];
    const [columns, inputSlots, tokens] = input.shape;
    const experts = weight.shape[2];
    const [slots] = choice.shape;
    const { sums, counts } = this.#entryOf(weight, columns, experts, experts);
    const choices = choice.int32();
    const [slotStride, tokenStride] = [input.strides[1] / 4, input.strides[2] / 4];
    const [choiceStride, choiceTokenStride] = [choice.strides[0] / 4, choice.strides[1] / 4];
    const additions = new Uint32Array(2 * slots * tokens);
    let at = 0;
    for (let slot = 0; slot < slots; slot++) {
      const slotStart = (slot % inputSlots) * slotStride;
      for (let token = 0; token < tokens; token++) {
        const expert = choices[token * choiceTokenStride + slot * choiceStride] ?? -1;
        if (expert < 0 || expert >= experts) {
          throw new InternalError(`"${weight.name}" is asked for expert ${expert} of ${experts}.`);
        }
        counts[expert] = (counts[expert] ?? 0) + 1;
        additions[at++] = slotStart + token * tokenStride;
        additions[at++] = expert * columns;
      }
    }
    this.#reducer.addSquares(sums, input.float32(), columns, additions);
  }

  /** A product with a matrix, or with several that the input's outer dimensions go through in turn. */
  #addDense(node: NativeTensor): void {
    const [weight, input] = [operandOf(node, 0), operandOf(node, 1)];
    const [columns, rowCount, outer, outermost] = input.shape;
    const [, , matrices, matrixGroups] = weight.shape;
    const { sums, counts } = this.#entryOf(weight, columns, matrices * matrixGroups, 1);
    const [, rowStride, outerStride, outermostStride] = input.strides.map((bytes) => bytes / 4) as [
      number,
      number,
      number,
      number,
    ];
    const additions = new Uint32Array(2 * rowCount * outer * outermost);
    let at = 0;
    for (let group = 0; group < outermost; group++) {
      for (let member = 0; member < outer; member++) {
        const matrix = (group % matrixGroups) * matrices + (member % matrices);
        const start = member * outerStride + group * outermostStride;
        for (let row = 0; row < rowCount; row++) {
          additions[at++] = start + row * rowStride;
          additions[at++] = matrix * columns;
        }
      }
    }
    this.#reducer.addSquares(sums, input.float32(), columns, additions);
    const rowsPerMatrix = Math.floor((rowCount * outer * outermost) / (matrices * matrixGroups));
    for (let i = 0; i < counts.length; i++) {
      counts[i] = (counts[i] ?? 0) + rowsPerMatrix;
    }
  }

  #entryOf(weight: NativeTensor, columns: number, matrices: number, countsLength: number): ImatrixEntry {
    const name = raiseLayer(weightName(weight), this.firstLayer);
    let entry = this.entries.get(name);
    if (entry === undefined) {
      entry = { sums: new Float32Array(columns * matrices), counts: new Float64Array(countsLength) };
      this.entries.set(name, entry);
    }
    if (entry.sums.length !== columns * matrices) {
      throw new InternalError(
        `"${name}" had ${entry.sums.length} input columns before, and ${columns} x ${matrices} now.`,
      );
    }
    return entry;
  }
}
