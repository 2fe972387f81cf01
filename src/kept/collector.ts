/** Keeps the inputs of routed experts while a model computes. */
import { operandOf, weightName } from "../activations/operands.js";
import { routedInputOf } from "../activations/routed-input.js";
import { RouterWeights } from "../activations/router-weights.js";
import type { Observer } from "../engine/observer.js";
import type { NativeTensor } from "../engine/tensor.js";
import { InternalError } from "../errors.js";
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

  #keep(node: NativeTensor, place: Place): void {
    const { columns, name } = place.input;
    const { vectors, experts } = routedInputOf(node, place.input);
    if (place.channels === undefined) {
      place.channels = channelScales(vectors, columns);
      this.#sink.writeChannels(name, place.channels);
    }
    const rows = rowsOf(vectors, place.channels, this.#bits);
    const weights = this.#router.of(place.input.weight, experts.length)?.slice();
    const batch = { ...rows, experts, weights: weights ?? new Float32Array(experts.length).fill(1) };
    this.#sink.writeRows(name, place.tokens, batch);
    place.tokens += vectors.length / columns;
  }
}

function rowsOf(
  vectors: Float32Array,
  channels: Float32Array,
  bits: KeptBits,
): Pick<KeptBatch, "rows" | "scales"> {
  const columns = channels.length;
  const tokens = vectors.length / columns;
  const rowBytes = keptRowBytes(columns, bits);
  const rows = new Uint8Array(tokens * rowBytes);
  const scales = new Float32Array(tokens);
  for (let token = 0; token < tokens; token++) {
    const vector = vectors.subarray(token * columns, (token + 1) * columns);
    scales[token] = keepRow(vector, channels, bits, rows, token * rowBytes);
  }
  return { rows, scales };
}
