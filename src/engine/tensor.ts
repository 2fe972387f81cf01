/** A tensor of llama.cpp's compute graph or of a loaded model, read in place. */
import { InternalError } from "../errors.js";
import { type TypeName, traitsOfId } from "../quants/types.js";
import type { NativeMemory } from "./memory.js";
import { type Address, activationType, C, type NativeFunctions, tensorLayout } from "./native.js";

const wordBytes = 4;
const highWord = 2 ** 32;
/** Buffers in which a CPU backend keeps weights in an order of its own, without a way back. */
const rearrangedBuffer = /REPACK|AMX|KLEIDIAI/i;
const ascii = new TextDecoder();

/** What tensors share: how to reach native functions and memory, and the tensors already met. */
export class TensorSpace {
  readonly native: NativeFunctions;
  readonly memory: NativeMemory;
  readonly #tensors = new Map<Address, NativeTensor>();
  readonly #operationNames = new Map<number, string>();

  constructor(native: NativeFunctions, memory: NativeMemory) {
    this.native = native;
    this.memory = memory;
  }

  /** The tensor structure at an address. Graphs are rebuilt in place, so addresses recur with other contents. */
  at(address: Address): NativeTensor {
    let tensor = this.#tensors.get(address);
    if (!tensor) {
      tensor = new NativeTensor(this, address);
      this.#tensors.set(address, tensor);
    }
    return tensor;
  }

  /** Forgets all tensors and views, for when a model is released. */
  forget(): void {
    this.#tensors.clear();
    this.memory.forget();
  }

  /** Name of a `ggml_op`: `MUL_MAT`, `MUL_MAT_ID`, `SOFT_MAX`, ... */
  operationName(operation: number): string {
    let name = this.#operationNames.get(operation);
    if (name === undefined) {
      name = this.native.ggml_op_name(operation);
      this.#operationNames.set(operation, name);
    }
    return name;
  }
}

/**
 * A live view of one `ggml_tensor`. Properties are read from native memory at each access, and are only
 * meaningful while llama.cpp keeps the graph or model: inside an observer's call, or as a model's weight.
 * Order of dimensions is ggml's: `shape[0]` is the row length.
 */
export class NativeTensor {
  readonly address: Address;
  readonly #space: TensorSpace;
  readonly #words: Uint32Array;

  constructor(space: TensorSpace, address: Address) {
    this.#space = space;
    this.address = address;
    // The structure's own view is kept by this object and not among the memory's cached ones.
    this.#words = new Uint32Array(space.memory.view(address, tensorLayout.byteLength));
  }

  /** Name: a weight's name in the file, or what the graph builder calls the node (`ffn_moe_topk-3`). */
  get name(): string {
    const bytes = new Uint8Array(
      this.#words.buffer,
      this.#words.byteOffset + tensorLayout.name,
      C.maxNameBytes,
    );
    const end = bytes.indexOf(0);
    return ascii.decode(bytes.subarray(0, end < 0 ? C.maxNameBytes : end));
  }

  /** Type of the elements, or undefined for one this project has no name for. */
  get type(): TypeName | undefined {
    return traitsOfId(this.#word(tensorLayout.type))?.name;
  }

  /** Number of the operation that computes it; `operation` gives its name. */
  get operationNumber(): number {
    return this.#word(tensorLayout.operation);
  }

  /** Operation that computes it: `MUL_MAT`, `MUL_MAT_ID`, ...; `NONE` for weights and inputs. */
  get operation(): string {
    return this.#space.operationName(this.operationNumber);
  }

  /** Elements along each of the four dimensions, row length first. */
  get shape(): [number, number, number, number] {
    return this.#four(tensorLayout.shape);
  }

  /** Bytes from one element (row, matrix, ...) to the next along each dimension. */
  get strides(): [number, number, number, number] {
    return this.#four(tensorLayout.strides);
  }

  /** Bytes that the tensor spans, gaps between strided rows included. */
  get byteLength(): number {
    return this.#space.native.ggml_nbytes(this.address);
  }

  /** The operation's i-th operand, or undefined if it has fewer. For a product, 0 is the weight, 1 the input. */
  source(index: number): NativeTensor | undefined {
    if (index >= C.maxSourcesPerTensor) {
      return undefined;
    }
    const address = this.#pointer(tensorLayout.sources + 8 * index);
    return address === 0 ? undefined : this.#space.at(address);
  }

  /** The tensor that this one is a view of, if it is one. */
  get viewSource(): NativeTensor | undefined {
    const address = this.#pointer(tensorLayout.viewSource);
    return address === 0 ? undefined : this.#space.at(address);
  }

  /** Address of the `ggml_backend_buffer` that holds the data. */
  get #buffer(): Address {
    const own = this.#pointer(tensorLayout.buffer);
    if (own !== 0) {
      return own;
    }
    const source = this.viewSource;
    return source ? source.#buffer : 0;
  }

  /** Kind of memory that holds it: `CPU`, `CPU_Mapped`, `CPU_REPACK`, `CUDA0`, ... */
  get bufferName(): string {
    const buffer = this.#buffer;
    return buffer === 0 ? "none" : this.#space.native.ggml_backend_buffer_name(buffer);
  }

  /** Whether the data lies in the computer's memory as the layout says, so that a view needs no copy. */
  get isHost(): boolean {
    const buffer = this.#buffer;
    return buffer !== 0 && this.#space.native.ggml_backend_buffer_is_host(buffer);
  }

  /** Whether it is one of the model's weights, rather than an input or a result of the computation. */
  get isWeight(): boolean {
    const buffer = this.#buffer;
    if (buffer === 0 || this.viewSource) {
      return false;
    }
    return this.#space.native.ggml_backend_buffer_get_usage(buffer) === C.bufferUsage.weights;
  }

  /**
   * The data: a view of native memory where it is host memory, otherwise a copy fetched from the device.
   * Valid until the observer returns or the model is released.
   */
  bytes(): Uint8Array {
    const byteLength = this.byteLength;
    if (byteLength === 0) {
      return new Uint8Array(0);
    }
    if (this.isHost) {
      return new Uint8Array(this.#space.memory.view(this.#pointer(tensorLayout.data), byteLength));
    }
    if (rearrangedBuffer.test(this.bufferName)) {
      throw new InternalError(
        `the tensor "${this.name}" lies rearranged in "${this.bufferName}" memory and cannot be read; load the model with plainWeights.`,
      );
    }
    const copy = new Uint8Array(byteLength);
    this.#space.native.ggml_backend_tensor_get(this.address, copy, 0, byteLength);
    return copy;
  }

  /** The data as float32, gaps included: element (i, j, k, l) is at the sum of index x `strides` / 4. */
  float32(): Float32Array {
    this.#expectType(activationType.F32, "F32");
    const bytes = this.bytes();
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / wordBytes);
  }

  /** The data as int32 (chosen experts, for example), gaps included, indexed like `float32`. */
  int32(): Int32Array {
    this.#expectType(activationType.I32, "I32");
    const bytes = this.bytes();
    return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / wordBytes);
  }

  #expectType(id: number, name: string): void {
    if (this.#word(tensorLayout.type) !== id) {
      throw new InternalError(`the tensor "${this.name}" is read as ${name} but is ${this.type}.`);
    }
  }

  #four(offset: number): [number, number, number, number] {
    return [
      this.#pointer(offset),
      this.#pointer(offset + 8),
      this.#pointer(offset + 16),
      this.#pointer(offset + 24),
    ];
  }

  #word(offset: number): number {
    return this.#words[offset / wordBytes] ?? 0;
  }

  /** A 64-bit field: pointers and sizes are all below 2^53. */
  #pointer(offset: number): number {
    return this.#word(offset) + this.#word(offset + wordBytes) * highWord;
  }
}
