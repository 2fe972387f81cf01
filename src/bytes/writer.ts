/** Little-endian bytes, gathered in memory: for headers, which are a few megabytes at most. */
export class ByteWriter {
  #bytes = new Uint8Array(1024);
  #view = new DataView(this.#bytes.buffer);
  #used = 0;

  /** Bytes written so far. */
  get byteLength(): number {
    return this.#used;
  }

  uint8(value: number): void {
    const at = this.#advance(1);
    this.#view.setUint8(at, value);
  }

  int8(value: number): void {
    const at = this.#advance(1);
    this.#view.setInt8(at, value);
  }

  uint16(value: number): void {
    const at = this.#advance(2);
    this.#view.setUint16(at, value, true);
  }

  int16(value: number): void {
    const at = this.#advance(2);
    this.#view.setInt16(at, value, true);
  }

  uint32(value: number): void {
    const at = this.#advance(4);
    this.#view.setUint32(at, value, true);
  }

  int32(value: number): void {
    const at = this.#advance(4);
    this.#view.setInt32(at, value, true);
  }

  uint64(value: bigint): void {
    const at = this.#advance(8);
    this.#view.setBigUint64(at, value, true);
  }

  int64(value: bigint): void {
    const at = this.#advance(8);
    this.#view.setBigInt64(at, value, true);
  }

  float32(value: number): void {
    const at = this.#advance(4);
    this.#view.setFloat32(at, value, true);
  }

  float64(value: number): void {
    const at = this.#advance(8);
    this.#view.setFloat64(at, value, true);
  }

  raw(bytes: Uint8Array): void {
    const at = this.#advance(bytes.byteLength);
    this.#bytes.set(bytes, at);
  }

  zeros(count: number): void {
    const start = this.#advance(count);
    this.#bytes.fill(0, start, start + count);
  }

  /** All bytes written; a copy. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#used);
  }

  /** Makes room for `length` bytes and returns where they start. Called before `view` or `bytes` is used. */
  #advance(length: number): number {
    const start = this.#used;
    const end = start + length;
    if (end > this.#bytes.byteLength) {
      const larger = new Uint8Array(Math.max(end, 2 * this.#bytes.byteLength));
      larger.set(this.#bytes.subarray(0, start));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    this.#used = end;
    return start;
  }
}
