/**
 * The steps of fitting a block of an expert's neurons, each cut into parts that any thread can take: what a part comes
 * to does not depend on who computes it, nor on how many there are. Threads share the arrays of `ScaleMemory`; the
 * products are computed in a memory of each thread's own.
 */
import { sharedFloats } from "../../threads/shared.js";
import { decodeRows } from "../codec.js";
import { rowBytes } from "../types.js";
import { addGram, batchRows, placesOf } from "./gram-sums.js";
import { Products, packedRows, productColumns } from "./products.js";
import { putTiles, type StoredMatrix } from "./stored-matrix.js";

/** Tokens of an expert whose features are in memory: 50 MB for 768 neurons. Those of more are computed twice. */
export const tokensTogether = 8192;

/** Rows that are decoded, or multiplied with one another, in a part. */
const rowsTogether = 64;

/** The tokens of a layer, as our model computes them; in shared memory if threads help. */
export interface LayerTokens {
  /** Length of a vector. */
  readonly columns: number;
  /** What enters the experts, token after token. */
  readonly inputs: Float32Array;
  /** Error of the stream that leaves the layer, each token's multiplied by its factor. */
  readonly residual: Float32Array;
  /** What the error of each token is multiplied by: one over the stream's root mean square. */
  readonly factors: Float32Array;
  /** Experts that a token is sent to. */
  readonly slots: number;
  /** Token after token, what the output of each of its experts is multiplied by. */
  readonly weights: Float32Array;
}

/** An expert as our model stores it; in shared memory if threads help. */
export interface StoredExpert {
  /** Neurons: rows of gate and up, columns of down; a multiple of 8. */
  readonly width: number;
  readonly gate: Pick<StoredMatrix, "type" | "bytes">;
  readonly up: Pick<StoredMatrix, "type" | "bytes">;
  readonly down: Pick<StoredMatrix, "type" | "bytes">;
}

/** Neurons, columns of a vector. */
export interface NeuronBlockSize {
  readonly count: number;
  readonly columns: number;
}

/** What the threads share of a block of `count` neurons, at least; the features are those of gate, then of up. */
export interface ScaleMemory {
  /** Gate, then up, transposed, in tiles (`products.ts`). */
  readonly inputTiles: Float32Array;
  /** The block's columns of down in tiles, and its rows. */
  readonly downTiles: Float32Array;
  readonly downRowTiles: Float32Array;
  /** Of a round of tokens, batch after batch: (batch, tile of eight features, token, feature). */
  readonly features: Float32Array;
  /** Sums of the features' products: the upper triangle. */
  readonly gram: Float32Array;
  /** Products of down's columns: the upper triangle. */
  readonly downProducts: Float32Array;
  /** Of each batch of a round: features times what down sees of the residual. */
  readonly right: Float64Array;
  /** What was found for gate, then for up. */
  readonly changes: Float32Array;
  /** The next part of a step that nobody has taken. */
  readonly next: Int32Array;
}

/** Some neurons of an expert, with all that their fit needs. What is large is shared. */
export interface NeuronBlock {
  readonly layer: LayerTokens;
  readonly expert: StoredExpert;
  /** Of the expert's tokens: those in the layer's `weights`. */
  readonly places: Uint32Array;
  readonly first: number;
  readonly count: number;
  readonly memory: ScaleMemory;
  /** Parts that the rows of `gram` are cut into. */
  readonly gramParts: number;
}

/** What all threads do next; `from` is the first token of a round. */
export type ScaleStep =
  | { readonly name: "decode"; readonly block: NeuronBlock }
  | { readonly name: "features" | "gram" | "right" | "takeAway"; readonly from: number };

/** Bytes of what the threads share. */
export function sharedBytesOf({ count, columns }: NeuronBlockSize): number {
  const size = 2 * count;
  const floats = size * (2 * columns + tokensTogether + size) + count * count;
  return Float32Array.BYTES_PER_ELEMENT * floats;
}

/** Bytes of each thread's own memory. */
export function threadBytesOf(size: NeuronBlockSize, gramParts: number): number {
  return Float32Array.BYTES_PER_ELEMENT * (threadPlaces(size, gramParts).at(-1) ?? 0);
}

/** Takes the memory; pages that are not written to cost nothing. */
export function scaleMemoryOf({ count, columns }: NeuronBlockSize): ScaleMemory {
  const size = 2 * count;
  const batches = tokensTogether / batchRows;
  return {
    inputTiles: sharedFloats(size * columns),
    downTiles: sharedFloats(count * columns),
    downRowTiles: sharedFloats(count * columns),
    features: sharedFloats(tokensTogether * size),
    gram: sharedFloats(size * size),
    downProducts: sharedFloats(count * count),
    right: new Float64Array(new SharedArrayBuffer(Float64Array.BYTES_PER_ELEMENT * batches * size)),
    changes: sharedFloats(size),
    next: new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)),
  };
}

/** What a thread has in the memory of products. */
function threadPlaces({ count, columns }: NeuronBlockSize, gramParts: number): readonly number[] {
  const size = 2 * count;
  const sums = Array.from({ length: gramParts }, (_, part) => {
    const [first, end] = gramRows(size, part, gramParts);
    return (end - first) * (size - first);
  });
  return placesOf(
    Math.max(size * columns, batchRows * size + Math.max(...sums)),
    batchRows * Math.max(columns, count),
    batchRows * Math.max(columns, count),
    batchRows * Math.max(columns, size),
  );
}

/** The rows of a part, from one to another: all parts have about the same share of the upper triangle. */
function gramRows(size: number, part: number, parts: number): [first: number, end: number] {
  const row = (index: number) => {
    const share = 1 - Math.sqrt(1 - index / parts);
    return Math.round((share * size) / productColumns) * productColumns;
  };
  return [row(part), row(part + 1)];
}

type Tiles = "inputTiles" | "downTiles" | "downRowTiles";

/** Takes parts of steps. Not for use by two threads at once. */
export class ScaleSteps {
  readonly #products: Products;
  #block: NeuronBlock | undefined;
  #places: readonly number[] = [];
  /** Which tiles are in the thread's own memory. */
  #own: Tiles | undefined;

  constructor(module: WebAssembly.Module | undefined) {
    this.#products = new Products(module);
  }

  /** Takes part after part of a step until there is none left. */
  take(step: ScaleStep): void {
    if (step.name === "decode") {
      this.#begin(step.block);
    }
    const block = this.#block;
    if (block === undefined) {
      return;
    }
    const [parts, perform] = this.#partsOf(step, block);
    const { next } = block.memory;
    for (let part = Atomics.add(next, 0, 1); part < parts; part = Atomics.add(next, 0, 1)) {
      perform(part);
    }
  }

  #begin(block: NeuronBlock): void {
    this.#block = block;
    this.#own = undefined;
    this.#places = threadPlaces({ count: block.count, columns: block.layer.columns }, block.gramParts);
    this.#products.reserve(this.#places.at(-1) ?? 0);
  }

  #partsOf(step: ScaleStep, block: NeuronBlock): [parts: number, perform: (part: number) => void] {
    const rowParts = Math.ceil(block.count / rowsTogether);
    if (step.name === "decode") {
      const downParts = Math.ceil(block.layer.columns / rowsTogether);
      return [2 * rowParts + downParts, (part) => decodePart(block, part, rowParts)];
    }
    const { from } = step;
    const batches = Math.ceil(Math.min(tokensTogether, block.places.length - from) / batchRows);
    switch (step.name) {
      case "features": {
        // The products of down are the same in every round.
        const parts = from === 0 ? batches + rowParts : batches;
        return [
          parts,
          (part) =>
            part < batches
              ? this.#computeFeatures(block, from, part)
              : this.#multiplyDown(block, part - batches),
        ];
      }
      case "gram":
        return [block.gramParts, (part) => this.#addGram(block, from, part)];
      case "right":
        return [batches, (part) => this.#computeRight(block, from, part)];
      case "takeAway":
        return [batches, (part) => this.#takeAway(block, from, part)];
    }
  }

  /** What the output of some tokens changes by with the factors of gate, then of up. */
  #computeFeatures(block: NeuronBlock, from: number, part: number): void {
    const { count, layer, memory } = block;
    const { columns, factors, weights, slots, inputs } = layer;
    const size = 2 * count;
    const places = placesOfBatch(block, from, part);
    const [tiles = 0, rows = 0, packed = 0, out = 0] = this.#places;
    this.#ensure("inputTiles");
    this.#putTokens(places, layer, inputs);
    const { values } = this.#products;
    values.fill(0, out, out + batchRows * size);
    const rowCount = places.length;
    this.#products.addRows({ rows, rowCount, count: columns, packed, tiles, columns: size, out });
    const features = featuresOf(memory, part, size);
    const half = count * batchRows;
    // Sums of products take two tokens at a time.
    for (let row = 0; row < evenUp(places.length); row++) {
      const place = places[row];
      const factor = place === undefined ? 0 : factors[Math.floor(place / slots)]! * weights[place]!;
      const at = out + row * size;
      for (let i = 0; i < count; i++) {
        const [gate, up] = [values[at + i]!, values[at + count + i]!];
        const sigmoid = 1 / (1 + Math.exp(-gate));
        const change = factor * gate * sigmoid * up;
        const to = (i & ~7) * batchRows + productColumns * row + (i & 7);
        features[to] = change * (1 + gate * (1 - sigmoid));
        features[half + to] = change;
      }
    }
  }

  /** Some of the block's columns of down with themselves and those after them. */
  #multiplyDown({ count, layer: { columns }, memory: { downProducts } }: NeuronBlock, part: number): void {
    const first = part * rowsTogether;
    const rowCount = Math.min(rowsTogether, count - first);
    const width = count - first;
    const [tiles = 0, , packed = 0, out = 0] = this.#places;
    this.#ensure("downTiles");
    const { values } = this.#products;
    const own = tiles + first * columns;
    values.fill(0, out, out + rowCount * width);
    for (let i = 0; i < rowCount; i += packedRows) {
      const inTile = i % productColumns;
      this.#products.packColumns(own + (i - inTile) * columns + inTile, productColumns, columns, packed);
      this.#products.add(packed, columns, own, productColumns * columns, width, out + i * width, width);
    }
    for (let i = 0; i < rowCount; i++) {
      const row = values.subarray(out + i * width + i, out + (i + 1) * width);
      downProducts.set(row, (first + i) * count + first + i);
    }
  }

  /** Adds a round's features to some rows of the sums. */
  #addGram({ count, gramParts, memory, places }: NeuronBlock, from: number, part: number): void {
    const size = 2 * count;
    const [first, end] = gramRows(size, part, gramParts);
    const [tiles = 0, , packed = 0] = this.#places;
    this.#own = undefined;
    const { values } = this.#products;
    const sums = tiles + batchRows * size;
    const width = size - first;
    const rowOf = (i: number) => memory.gram.subarray(i * size + first, (i + 1) * size);
    for (let i = first; i < end; i++) {
      values.set(rowOf(i), sums + (i - first) * width);
    }
    const tokens = Math.min(tokensTogether, places.length - from);
    for (let batch = 0; batch * batchRows < tokens; batch++) {
      const vectors = evenUp(Math.min(batchRows, tokens - batch * batchRows));
      const features = featuresOf(memory, batch, size);
      values.set(features.subarray(first * batchRows), tiles + first * batchRows);
      addGram(this.#products, { tiles, packed, sums, n: size, vectors, first, end });
    }
    for (let i = first; i < end; i++) {
      const at = sums + (i - first) * width;
      rowOf(i).set(values.subarray(at, at + width));
    }
  }

  /** Of a batch: its features times what down sees of the residual, added up. */
  #computeRight(block: NeuronBlock, from: number, part: number): void {
    const { count, layer, memory } = block;
    const size = 2 * count;
    const places = placesOfBatch(block, from, part);
    const [tiles = 0, rows = 0, packed = 0, out = 0] = this.#places;
    this.#ensure("downTiles");
    this.#putTokens(places, layer, layer.residual);
    const { values } = this.#products;
    values.fill(0, out, out + batchRows * count);
    const [rowCount, columns] = [places.length, layer.columns];
    this.#products.addRows({ rows, rowCount, count: columns, packed, tiles, columns: count, out });
    const features = featuresOf(memory, part, size);
    const right = memory.right.subarray(part * size, (part + 1) * size).fill(0);
    const half = count * batchRows;
    for (let row = 0; row < rowCount; row++) {
      for (let i = 0; i < count; i++) {
        const error = values[out + row * count + i]!;
        const at = (i & ~7) * batchRows + productColumns * row + (i & 7);
        right[i]! += features[at]! * error;
        right[count + i]! += features[half + at]! * error;
      }
    }
  }

  /** Takes from the residual of a batch what the changes make of it. */
  #takeAway(block: NeuronBlock, from: number, part: number): void {
    const { count, layer, memory } = block;
    const { columns, residual, slots } = layer;
    const places = placesOfBatch(block, from, part);
    const [tiles = 0, rows = 0, packed = 0, out = 0] = this.#places;
    this.#ensure("downRowTiles");
    const { values } = this.#products;
    const { changes } = memory;
    const features = featuresOf(memory, part, 2 * count);
    const half = count * batchRows;
    values.fill(0, rows, rows + batchRows * count);
    for (let row = 0; row < places.length; row++) {
      for (let i = 0; i < count; i++) {
        const at = (i & ~7) * batchRows + productColumns * row + (i & 7);
        values[rows + row * count + i] =
          features[at]! * changes[i]! + features[half + at]! * changes[count + i]!;
      }
    }
    values.fill(0, out, out + batchRows * columns);
    this.#products.addRows({ rows, rowCount: places.length, count, packed, tiles, columns, out });
    for (const [row, place] of places.entries()) {
      const at = Math.floor(place / slots) * columns;
      for (let k = 0; k < columns; k++) {
        residual[at + k]! -= values[out + row * columns + k]!;
      }
    }
  }

  /** Puts vectors of tokens into rows, zeros into the rest of the last four. */
  #putTokens(places: Uint32Array, { columns, slots }: LayerTokens, vectors: Float32Array): void {
    const { values } = this.#products;
    const [, rows = 0] = this.#places;
    for (const [i, place] of places.entries()) {
      const token = Math.floor(place / slots);
      values.set(vectors.subarray(token * columns, (token + 1) * columns), rows + i * columns);
    }
    values.fill(0, rows + places.length * columns, rows + batchRows * columns);
  }

  /** Has these tiles at the first place. */
  #ensure(tiles: Tiles): void {
    const block = this.#block;
    if (this.#own !== tiles && block) {
      const values = (tiles === "inputTiles" ? 2 : 1) * block.count * block.layer.columns;
      this.#products.values.set(block.memory[tiles].subarray(0, values), this.#places[0]);
      this.#own = tiles;
    }
  }
}

function evenUp(count: number): number {
  return count + (count % 2);
}

function placesOfBatch({ places }: NeuronBlock, from: number, batch: number): Uint32Array {
  const first = from + batch * batchRows;
  return places.subarray(first, Math.min(first + batchRows, from + tokensTogether));
}

function featuresOf({ features }: ScaleMemory, batch: number, size: number): Float32Array {
  return features.subarray(batch * batchRows * size, (batch + 1) * batchRows * size);
}

/** Some rows of gate, of up, or of down. */
function decodePart(block: NeuronBlock, part: number, rowParts: number): void {
  const { first, count, expert, layer, memory } = block;
  if (part >= 2 * rowParts) {
    decodeDown(block, (part - 2 * rowParts) * rowsTogether);
    return;
  }
  const isGate = part < rowParts;
  const { type, bytes } = isGate ? expert.gate : expert.up;
  const row = (isGate ? part : part - rowParts) * rowsTogether;
  const rows = Math.min(rowsTogether, count - row);
  const stride = rowBytes(type, layer.columns);
  const own = bytes.subarray((first + row) * stride, (first + row + rows) * stride);
  const tiles = (isGate ? 0 : count * layer.columns) + row * layer.columns;
  putTiles(memory.inputTiles, tiles, { type, bytes: own }, rows, layer.columns);
}

/** Puts the block's part of some rows of down into tiles, for products from both sides. */
function decodeDown({ first, count, expert, layer, memory }: NeuronBlock, firstRow: number): void {
  const { columns } = layer;
  const { type, bytes } = expert.down;
  const { downTiles, downRowTiles } = memory;
  const stride = rowBytes(type, expert.width);
  const row = new Float32Array(expert.width);
  for (let r = firstRow; r < Math.min(firstRow + rowsTogether, columns); r++) {
    decodeRows(type, bytes.subarray(r * stride, (r + 1) * stride), row);
    const rowTile = (r & ~7) * count + (r & 7);
    for (let j = 0; j < count; j++) {
      const value = row[first + j]!;
      downTiles[(j & ~7) * columns + productColumns * r + (j & 7)] = value;
      downRowTiles[rowTile + productColumns * j] = value;
    }
  }
}
