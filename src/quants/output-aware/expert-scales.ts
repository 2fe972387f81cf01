/**
 * Factors for the rows of an expert's gate and up that make what is left of the residual stream's error smallest. The
 * error of a token is the source's stream minus ours; what it changes by is, for neuron i with factors 1 + g_i and
 * 1 + u_i, weight x (W_down)_i x (up_i silu'(gate_i) gate_i g_i + silu(gate_i) up_i u_i): linear in the factors, so that
 * a ridge regression gives them. No gradients of later layers, no second pass.
 *
 * Sums are in float32 in the order of the tokens, so every bit depends on the layer's tokens alone. The steps
 * (`scale-steps.ts`) are for all threads that are there.
 */
import { batchRows } from "./gram-sums.js";
import { productColumns } from "./products.js";
import { RidgeSolver } from "./ridge.js";
import {
  type LayerTokens,
  type NeuronBlock,
  type NeuronBlockSize,
  type ScaleMemory,
  type ScaleStep,
  ScaleSteps,
  type StoredExpert,
  scaleMemoryOf,
  sharedBytesOf,
  threadBytesOf,
  tokensTogether,
} from "./scale-steps.js";

/** What to multiply the rows of an expert by. */
export interface RowFactors {
  readonly gate: Float32Array;
  readonly up: Float32Array;
}

/** Part of the features' squares that is added to them. */
const leastRidge = 0.1;

/** Added for each feature per token: few tokens know little. */
const ridgePerFeature = 3;

/** How far a factor may be from 1. */
export const largestChange = 0.05;

/** Neurons that are fitted together: the matrix of their features takes 9 MB, whatever the expert's width. */
const neuronsTogether = 768;

/** Other threads. */
export interface FitHelpers {
  /** How many. */
  readonly size: number;
  /** Has all of them take parts of a step. */
  post(step: ScaleStep): void;
  /** Returns when they find no more. Throws the error of one that failed. */
  wait(): void;
}

/** Bytes of memory that fitting an expert takes on so many threads, at most, however many tokens it has. */
export function fitBytesOf(
  { width, columns }: { readonly width: number; readonly columns: number },
  threads: number,
): number {
  const size = { count: blockSizeOf(width), columns };
  return (
    sharedBytesOf(size) +
    threads * threadBytesOf(size, gramPartsOf(threads)) +
    RidgeSolver.bytes(2 * size.count)
  );
}

/** Neurons of each block of an expert, but for the last. */
function blockSizeOf(width: number): number {
  const blocks = Math.ceil(width / neuronsTogether);
  return Math.ceil(width / blocks / productColumns) * productColumns;
}

/** Each part reads all features, so there are few; two for a thread, as one may be late. */
const mostGramParts = 32;

function gramPartsOf(threads: number): number {
  return threads === 1 ? 1 : Math.min(2 * threads, mostGramParts);
}

/** Fits experts. Not for use by two threads at once: others help. */
export class ExpertScales {
  readonly #steps: ScaleSteps;
  readonly #solver: RidgeSolver;
  readonly #helpers: FitHelpers | undefined;
  #shared: (NeuronBlockSize & { readonly memory: ScaleMemory }) | undefined;

  /** Without a module it takes long. */
  constructor(module: WebAssembly.Module | undefined, helpers?: FitHelpers) {
    this.#steps = new ScaleSteps(module);
    this.#solver = new RidgeSolver(module);
    this.#helpers = helpers;
  }

  /**
   * Fits one expert, and takes what that changes from the residual.
   * @param places of the expert's tokens: those in `weights`
   */
  fit(layer: LayerTokens, expert: StoredExpert, places: Uint32Array): RowFactors {
    const { width } = expert;
    const fitted = { gate: new Float32Array(width).fill(1), up: new Float32Array(width).fill(1) };
    if (places.length === 0) {
      return fitted;
    }
    const size = blockSizeOf(width);
    for (let first = 0; first < width; first += size) {
      const count = Math.min(size, width - first);
      const memory = this.#memoryOf({ count, columns: layer.columns });
      const gramParts = gramPartsOf(1 + (this.#helpers?.size ?? 0));
      const changes = this.#fitBlock({ layer, expert, places, first, count, memory, gramParts });
      for (let i = 0; i < count; i++) {
        fitted.gate[first + i]! += changes[i]!;
        fitted.up[first + i]! += changes[count + i]!;
      }
    }
    return fitted;
  }

  /** Changes of the factors of gate, then of up. */
  #fitBlock(block: NeuronBlock): Float32Array {
    const { places, count, memory } = block;
    const size = 2 * count;
    const right = new Float64Array(size);
    memory.gram.fill(0);
    this.#run(block, { name: "decode", block });
    let from = 0;
    for (let next = 0; next < places.length; next += tokensTogether) {
      from = next;
      this.#run(block, { name: "features", from });
      this.#run(block, { name: "gram", from });
      const isLast = from + tokensTogether >= places.length;
      this.#run(block, { name: "right", from }, () => isLast && this.#factorize(block));
      addUp(memory.right, Math.ceil(Math.min(tokensTogether, places.length - from) / batchRows), right);
    }
    const bounded = (value: number) => Math.max(-largestChange, Math.min(largestChange, value));
    memory.changes.set(this.#solver.solve(right).map(bounded));
    // The features of the last round are still there.
    this.#run(block, { name: "takeAway", from });
    for (from -= tokensTogether; from >= 0; from -= tokensTogether) {
      this.#run(block, { name: "features", from });
      this.#run(block, { name: "takeAway", from });
    }
    return memory.changes;
  }

  /** Factorizes (W_down^T W_down) o (A^T A) with the ridge. */
  #factorize({ places, count, memory: { gram, downProducts } }: NeuronBlock): void {
    const size = 2 * count;
    for (let i = 0; i < size; i++) {
      const row = i % count;
      for (let j = i; j < size; j++) {
        const column = j % count;
        const product = row < column ? row * count + column : column * count + row;
        gram[i * size + j]! *= downProducts[product]!;
      }
    }
    this.#solver.factorize(gram, size, leastRidge + (ridgePerFeature * size) / places.length);
  }

  /** Has all threads do a step; this one does something else first. */
  #run({ memory }: NeuronBlock, step: ScaleStep, before?: () => void): void {
    memory.next.fill(0);
    this.#helpers?.post(step);
    before?.();
    this.#steps.take(step);
    this.#helpers?.wait();
  }

  /** That of a block as large or larger. */
  #memoryOf(size: NeuronBlockSize): ScaleMemory {
    let shared = this.#shared;
    if (shared?.columns !== size.columns || shared.count < size.count) {
      shared = { ...size, memory: scaleMemoryOf(size) };
      this.#shared = shared;
    }
    return shared.memory;
  }
}

/** Adds rows of numbers, in their order, to `sum`. */
function addUp(rows: Float64Array, count: number, sum: Float64Array): void {
  for (let row = 0; row < count; row++) {
    for (let i = 0; i < sum.length; i++) {
      sum[i]! += rows[row * sum.length + i]!;
    }
  }
}
