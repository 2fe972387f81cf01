/** Sources for tests: what was read is asserted by counting. */
import { MemorySource } from "../bytes/source.js";

/** Bytes in memory that remember every read. */
export class CountingSource extends MemorySource {
  readonly reads: { readonly offset: number; readonly length: number }[] = [];
  closed = 0;

  override async read(offset: number, length: number): Promise<Uint8Array> {
    this.reads.push({ offset, length });
    return await super.read(offset, length);
  }

  override async close(): Promise<void> {
    this.closed++;
  }
}
