/** Keeps the inputs of routed experts while a model computes. */
import { operandOf, weightName } from "../activations/operands.js";
import { RouterWeights } from "../activations/router-weights.js";
import type { Observer } from "../engine/observer.js";
import type { NativeTensor } from "../engine/tensor.js";
import { InternalError, UsageError } from "../errors.js";
import { channelScales, type KeptBits, keepRow, keptRowBytes } from "../quants/output-aware/kept-rows.js";
import type { KeptInput } from "./layers.js";
import type { KeptBatch, KeptWriter } from "./writer.js";

/** Node that holds what experts computed of gate and up (`build_moe_ffn` in llama.cpp `src/llama-graph.cpp`). */
const hiddenNode = /^ffn_moe_(\w+)-\d+$/;

export type KeptSink = Pick<KeptWriter, "writeRows" | "writeChannels" | "writeFunction">;

/** A layer's tokens so far. */
interface Place {
  readonly input: KeptInput;
  tokens: number;
  channels: Float32Array | undefined;
}

export class KeptCollector implements Observer {
  readonly operations = ["MUL_MAT_ID", ...RouterWeights.operations];
  readonly #router = new RouterWeights();
  readonly #byWeight = new Map<string, Place>();
  readonly #byDown = new Map<string, Place>();
  readonly #bits: KeptBits;
  readonly #sink: KeptSink;

  /**
   * Weights have the names that the window gives them.
   * @param tokens how many an earlier run has kept, with the scales of channels that it chose
   */
  constructor(
    inputs: readonly KeptInput[],
    bits: KeptBits,
    sink: KeptSink,
    tokens = 0,
    channelsOf?: (input: string) => Float32Array,
  ) {
    this.#bits = bits;
    this.#sink = sink;
    for (const input of inputs) {
      const channels = tokens > 0 ? channelsOf?.(input.name) : undefined;
      const place = { input, tokens, channels };
      this.#byWeight.set(input.weight, place);
      this.#byDown.set(input.down, place);
    }
  }

  wants(node: NativeTensor): boolean {
    if (node.operation !== "MUL_MAT_ID") {
      return this.#router.wants(node);
    }
    const name = weightName(operandOf(node, 0));
    return this.#byWeight.has(name) || this.#byDown.has(name);
  }

  observe(node: NativeTensor): void {
    if (node.operation !== "MUL_MAT_ID") {
      this.#router.note(node);
      return;
    }
    const name = weightName(operandOf(node, 0));
    const place = this.#byWeight.get(name);
    if (place) {
      this.#keep(node, place);
    }
    const [, computed] = hiddenNode.exec(operandOf(node, 1).name) ?? [];
    const hidden = this.#byDown.get(name);
    if (hidden) {
      this.#sink.writeFunction(hidden.input.name, computed ?? "unknown");
    }
  }

  /** Throws an InternalError unless every layer has seen so many tokens. */
  checkComplete(tokens: number): void {
    for (const { input, tokens: seen } of this.#byWeight.values()) {
      if (seen !== tokens) {
        throw new InternalError(`of "${input.name}" ${seen} of ${tokens} tokens were seen.`);
      }
    }
  }

  /** Input [columns, 1, tokens], choice [slots, tokens]. */
  #keep(node: NativeTensor, place: Place): void {
    const { columns, slots, weight } = place.input;
    const [input, choice] = [operandOf(node, 1), operandOf(node, 2)];
    const [, inputSlots, tokens] = input.shape;
    if (choice.shape[0] !== slots || (inputSlots !== 1 && slots !== 1)) {
      throw new UsageError(
        `"${weight}": its experts do not share one input of ${slots} experts a token, so that it cannot be kept; collect matrices in place of activations (\`moments\`).`,
        { tensor: weight },
      );
    }
    const vectors = contiguous(input.float32(), columns, tokens, input.strides[2] / 4);
    if (place.channels === undefined) {
      place.channels = channelScales(vectors, columns);
      this.#sink.writeChannels(place.input.name, place.channels);
    }
    const batch = this.#batchOf(vectors, place.channels, choice, place.input);
    this.#sink.writeRows(place.input.name, place.tokens, batch);
    place.tokens += tokens;
  }

  #batchOf(vectors: Float32Array, channels: Float32Array, choice: NativeTensor, input: KeptInput): KeptBatch {
    const { columns, slots, experts: count } = input;
    const tokens = vectors.length / columns;
    const rowBytes = keptRowBytes(columns, this.#bits);
    const rows = new Uint8Array(tokens * rowBytes);
    const scales = new Float32Array(tokens);
    for (let token = 0; token < tokens; token++) {
      const vector = vectors.subarray(token * columns, (token + 1) * columns);
      scales[token] = keepRow(vector, channels, this.#bits, rows, token * rowBytes);
    }
    const choices = choice.int32();
    const [slotStride, tokenStride] = [choice.strides[0] / 4, choice.strides[1] / 4];
    const experts = Uint16Array.from({ length: tokens * slots }, (_, at) => {
      const expert = choices[Math.floor(at / slots) * tokenStride + (at % slots) * slotStride] ?? -1;
      if (expert < 0 || expert >= count) {
        throw new InternalError(`"${input.weight}" is asked for expert ${expert} of ${count}.`);
      }
      return expert;
    });
    const weights = this.#router.of(input.weight, tokens * slots) ?? new Float32Array(tokens * slots).fill(1);
    return { rows, scales, experts, weights: weights.slice() };
  }
}

function contiguous(values: Float32Array, columns: number, rows: number, stride: number): Float32Array {
  if (stride === columns) {
    return values.subarray(0, rows * columns);
  }
  const copy = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) {
    copy.set(values.subarray(row * stride, row * stride + columns), row * columns);
  }
  return copy;
}
