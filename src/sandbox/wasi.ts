/**
 * All that a WebAssembly program in the sandbox can call: its arguments, clocks, a generator of numbers, three
 * standard streams in memory, sleeping and leaving. Everything else of WASI (files, folders, sockets) answers that
 * it is not there. Arguments and results are numbers and addresses in the program's own memory, so nothing of
 * JavaScript is in its reach.
 *
 * The interface: https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
 */
import type { InputStream, OutputStream } from "./streams.js";

const interfaceName = "wasi_snapshot_preview1";

const success = 0;
/** Errors of WASI: no such descriptor, not supported, a stream has no positions, no right to do this. */
const badDescriptor = 8;
const notSupported = 58;
const notSeekable = 70;
const notCapable = 76;

const monotonicClock = 1;

/** Clocks have whole milliseconds only: nothing finer is needed, and finer ones measure caches. */
const clockResolution = 1_000_000n;

const eventBytes = 32;
const subscriptionBytes = 48;

/** What a program is given. */
export interface Surroundings {
  readonly args: readonly string[];
  readonly input: InputStream;
  readonly output: OutputStream;
  readonly errors: OutputStream;
}

/** Thrown through the program's frames when it leaves. */
export class ProgramExit extends Error {
  readonly status: number;

  constructor(status: number) {
    super(`exit status ${status}`);
    this.status = status;
  }
}

/** A program's system calls, and its memory, which exists only once it is instantiated. */
export class Wasi {
  readonly #surroundings: Surroundings;
  readonly #args: readonly Uint8Array[];
  #memory: WebAssembly.Memory | undefined;
  #random = 0x9e3779b9;

  constructor(surroundings: Surroundings) {
    this.#surroundings = surroundings;
    this.#args = surroundings.args.map((arg) => new TextEncoder().encode(`${arg}\0`));
  }

  /** Starts the module and comes back when it has ended; returns its exit status. What it breaks down with is thrown. */
  run(module: WebAssembly.Module): number {
    const { exports } = new WebAssembly.Instance(module, this.#imports(module));
    const { memory, _start: start } = exports;
    this.#memory = memory as WebAssembly.Memory;
    try {
      (start as () => void)();
      return 0;
    } catch (error) {
      if (error instanceof ProgramExit) {
        return error.status;
      }
      throw error;
    }
  }

  /** A function for every import of the module. */
  #imports(module: WebAssembly.Module): Record<string, Record<string, unknown>> {
    const provided = new Map(Object.entries(this.#provided()));
    const functions: Record<string, unknown> = {};
    for (const { name } of WebAssembly.Module.imports(module)) {
      const refusal = name.startsWith("path_") ? notCapable : notSupported;
      functions[name] = provided.get(name) ?? (() => refusal);
    }
    return { [interfaceName]: functions };
  }

  #provided(): Record<string, (...args: never[]) => number> {
    return {
      args_sizes_get: (count: number, bytes: number) => {
        this.#setUint32(count, this.#args.length);
        return this.#setUint32(
          bytes,
          this.#args.reduce((sum, { length }) => sum + length, 0),
        );
      },
      args_get: (addresses: number, texts: number) => this.#writeArgs(addresses, texts),
      environ_sizes_get: (count: number, bytes: number) => {
        this.#setUint32(count, 0);
        return this.#setUint32(bytes, 0);
      },
      environ_get: () => success,
      clock_res_get: (_clock: number, result: number) => this.#setUint64(result, clockResolution),
      clock_time_get: (clock: number, _precision: bigint, result: number) =>
        this.#setUint64(result, now(clock)),
      random_get: (address: number, length: number) => this.#fillAlike(this.#bytes(address, length)),
      fd_fdstat_get: (descriptor: number, result: number) => this.#describe(descriptor, result, 24),
      fd_filestat_get: (descriptor: number, result: number) => this.#describe(descriptor, result, 64),
      fd_prestat_get: () => badDescriptor, // no folder is open
      fd_read: (descriptor: number, vectors: number, count: number, result: number) =>
        this.#read(descriptor, vectors, count, result),
      fd_write: (descriptor: number, vectors: number, count: number, result: number) =>
        this.#write(descriptor, vectors, count, result),
      fd_seek: (descriptor: number) => (isStream(descriptor) ? notSeekable : badDescriptor),
      fd_tell: (descriptor: number) => (isStream(descriptor) ? notSeekable : badDescriptor),
      fd_close: (descriptor: number) => (isStream(descriptor) ? success : badDescriptor),
      poll_oneoff: (subscriptions: number, events: number, count: number, result: number) =>
        this.#sleep(subscriptions, events, count, result),
      sched_yield: () => success,
      proc_exit: (status: number) => {
        throw new ProgramExit(status);
      },
    };
  }

  #writeArgs(addresses: number, texts: number): number {
    let address = texts;
    for (const [index, arg] of this.#args.entries()) {
      this.#setUint32(addresses + 4 * index, address);
      this.#bytes(address, arg.length).set(arg);
      address += arg.length;
    }
    return success;
  }

  /** All zero: a file of unknown kind and without rights, which is no terminal. */
  #describe(descriptor: number, result: number, length: number): number {
    if (!isStream(descriptor)) {
      return badDescriptor;
    }
    this.#bytes(result, length).fill(0);
    return success;
  }

  #read(descriptor: number, vectors: number, count: number, result: number): number {
    if (descriptor !== 0) {
      return badDescriptor;
    }
    let total = 0;
    for (const bytes of this.#vectors(vectors, count)) {
      const length = this.#surroundings.input.readInto(bytes);
      total += length;
      if (length < bytes.length) {
        break;
      }
    }
    return this.#setUint32(result, total);
  }

  #write(descriptor: number, vectors: number, count: number, result: number): number {
    const { output, errors } = this.#surroundings;
    const stream = [undefined, output, errors][descriptor];
    if (!stream) {
      return badDescriptor;
    }
    let total = 0;
    for (const bytes of this.#vectors(vectors, count)) {
      stream.write(bytes);
      total += bytes.length;
    }
    return this.#setUint32(result, total);
  }

  /** The pieces of memory that a list of addresses and lengths names. */
  *#vectors(vectors: number, count: number): Generator<Uint8Array> {
    for (let index = 0; index < count; index++) {
      const vector = vectors + 8 * index;
      yield this.#bytes(this.#view.getUint32(vector, true), this.#view.getUint32(vector + 4, true));
    }
  }

  /** Waits for the first of some clocks. There is nothing else to wait for. */
  #sleep(subscriptions: number, events: number, count: number, result: number): number {
    let first: { readonly user: bigint; readonly until: bigint } | undefined;
    for (let index = 0; index < count; index++) {
      const subscription = subscriptions + subscriptionBytes * index;
      if (this.#view.getUint8(subscription + 8) !== 0) {
        return notSupported; // a descriptor
      }
      const clock = this.#view.getUint32(subscription + 16, true);
      const timeout = this.#view.getBigUint64(subscription + 24, true);
      const isAbsolute = this.#view.getUint16(subscription + 40, true) === 1;
      const remaining = isAbsolute ? timeout - now(clock) : timeout;
      const until = now(monotonicClock) + remaining;
      if (!first || until < first.until) {
        first = { user: this.#view.getBigUint64(subscription, true), until };
      }
    }
    if (!first) {
      return notSupported;
    }
    sleepUntil(first.until);
    this.#bytes(events, eventBytes).fill(0);
    this.#setUint64(events, first.user);
    return this.#setUint32(result, 1);
  }

  /** The same "random" bytes every time, so that the same program does the same (xorshift, Marsaglia 2003). */
  #fillAlike(bytes: Uint8Array): number {
    let state = this.#random;
    for (let i = 0; i < bytes.length; i++) {
      state ^= state << 13;
      state ^= state >>> 17;
      state ^= state << 5;
      bytes[i] = state & 0xff;
    }
    this.#random = state;
    return success;
  }

  #setUint32(address: number, value: number): number {
    this.#view.setUint32(address, value, true);
    return success;
  }

  #setUint64(address: number, value: bigint): number {
    this.#view.setBigUint64(address, value, true);
    return success;
  }

  /** Growing gives the memory another buffer, so views are made anew. Throws a RangeError beyond the memory. */
  #bytes(address: number, length: number): Uint8Array {
    return new Uint8Array(this.#buffer, address >>> 0, length >>> 0);
  }

  get #view(): DataView {
    return new DataView(this.#buffer);
  }

  get #buffer(): ArrayBuffer {
    return this.#memory?.buffer ?? new ArrayBuffer(0);
  }
}

function isStream(descriptor: number): boolean {
  return descriptor >= 0 && descriptor <= 2;
}

/** Nanoseconds, in whole milliseconds, since 1970 or, on the monotonic clock, since the thread started. */
function now(clock: number): bigint {
  const milliseconds = clock === monotonicClock ? performance.now() : Date.now();
  return BigInt(Math.floor(milliseconds)) * clockResolution;
}

function sleepUntil(until: bigint): void {
  const nothing = new Int32Array(new SharedArrayBuffer(4));
  const milliseconds = Number(until - now(monotonicClock)) / Number(clockResolution);
  Atomics.wait(nothing, 0, 0, Math.max(0, milliseconds));
}
