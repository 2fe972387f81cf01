/** Whatever is in a file, it is read or refused with one of our errors, quickly and in little memory. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { MemorySource } from "../bytes/source.js";
import { MalformedInputError } from "../errors.js";
import { ggufBytes, plainMetadata } from "../testing/gguf-file.js";
import { everyFlatValue, nestedValues, someTensors } from "../testing/gguf-samples.js";
import { planGguf } from "./layout.js";
import { readGgufHeader } from "./reader.js";

const rich = ggufBytes({ metadata: new Map([...everyFlatValue, ...nestedValues]), tensors: someTensors });
const small = ggufBytes({
  metadata: plainMetadata({ "general.name": "small", words: ["a", "bc"], numbers: [1, 2] }),
  tensors: [
    { name: "a", shape: [32, 2], type: "Q8_0" },
    { name: "b", shape: [5], type: "F32" },
  ],
});

/** Reads bytes that may be anything; what is accepted must be consistent. Returns whether it was. */
async function survives(bytes: Uint8Array): Promise<boolean> {
  let header: Awaited<ReturnType<typeof readGgufHeader>>;
  try {
    header = await readGgufHeader(new MemorySource("hostile.gguf", bytes));
  } catch (error) {
    assert.ok(error instanceof MalformedInputError, String(error));
    assert.ok(error.message.startsWith("hostile.gguf: ") && error.message.length < 1000, error.message);
    return false;
  }
  let end = 0;
  for (const tensor of header.tensors.toSorted((a, b) => a.offset - b.offset)) {
    assert.ok(tensor.offset >= end && tensor.offset >= header.dataOffset);
    end = tensor.offset + tensor.byteLength;
    assert.ok(end <= bytes.byteLength);
  }
  return true;
}

/** A copy with some bytes replaced. */
function patched(bytes: Uint8Array, offset: number, replacement: readonly number[]): Uint8Array {
  const copy = bytes.slice();
  const start = Math.min(offset, copy.byteLength);
  copy.set(replacement.slice(0, copy.byteLength - start), start);
  return copy;
}

describe("a hostile header", () => {
  it("is survived with any one byte changed", async () => {
    let accepted = 0;
    let refused = 0;
    for (let offset = 0; offset < small.byteLength; offset++) {
      const byte = small[offset]!;
      for (const value of [0, 0xff, 0x7f, byte ^ 1, byte ^ 0x80]) {
        if (await survives(patched(small, offset, [value]))) {
          accepted++;
        } else {
          refused++;
        }
      }
    }
    assert.ok(accepted > 100 && refused > 100, `${accepted} accepted, ${refused} refused`);
  });

  it("is survived with any eight bytes replaced by an extreme number", async () => {
    const extremes = [2n ** 64n - 1n, 2n ** 63n, 2n ** 53n, 2n ** 32n, 2n ** 31n - 1n, 10n ** 9n, 0n];
    for (let offset = 4; offset < small.byteLength; offset++) {
      for (const extreme of extremes) {
        const number = Buffer.alloc(8);
        number.writeBigUInt64LE(extreme);
        await survives(patched(small, offset, [...number]));
      }
    }
  });

  it("is survived after random changes, cuts and repetitions", async () => {
    const change = fc.oneof(
      fc.record({
        kind: fc.constant("patch" as const),
        at: fc.nat(),
        bytes: fc.array(fc.nat(255), { minLength: 1, maxLength: 12 }),
      }),
      fc.record({ kind: fc.constant("cut" as const), at: fc.nat(), length: fc.nat(64) }),
      fc.record({ kind: fc.constant("repeat" as const), at: fc.nat(), length: fc.nat(64) }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.boolean(),
        fc.array(change, { minLength: 1, maxLength: 4 }),
        async (big, changes) => {
          let bytes: Uint8Array = big ? rich : small;
          const headerLength = big ? 1500 : 300;
          for (const { at, ...change } of changes) {
            const start = at % headerLength;
            if (change.kind === "patch") {
              bytes = patched(bytes, start, change.bytes);
            } else {
              const end = start + change.length;
              const rest = change.kind === "cut" ? end : start;
              bytes = Buffer.concat([
                bytes.subarray(0, change.kind === "cut" ? start : end),
                bytes.subarray(rest),
              ]);
            }
          }
          await survives(bytes);
        },
      ),
      { numRuns: 5000, interruptAfterTimeLimit: 2000 },
    );
  });

  it("is survived if it is nothing but random bytes after the magic", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (noise) => {
        await survives(Buffer.concat([rich.subarray(0, 8), noise]));
      }),
      { numRuns: 1000, interruptAfterTimeLimit: 1000 },
    );
  });

  it("round-trips whatever metadata can be written", async () => {
    const value = fc.oneof(
      fc.record({ type: fc.constant("string" as const), value: fc.string({ unit: "binary" }) }),
      fc.record({ type: fc.constant("int64" as const), value: fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n) }),
      fc.record({ type: fc.constant("float64" as const), value: fc.double() }),
      fc.record({
        type: fc.constant("array" as const),
        itemType: fc.constant("string" as const),
        value: fc.array(fc.string({ unit: "grapheme" })),
      }),
      fc.record({
        type: fc.constant("array" as const),
        itemType: fc.constant("float32" as const),
        value: fc.array(fc.float()),
      }),
    );
    const entries = fc.array(fc.tuple(fc.string({ minLength: 1 }), value));
    await fc.assert(
      fc.asyncProperty(entries, async (pairs) => {
        const metadata = new Map(pairs);
        const { header } = planGguf({ metadata, tensors: [] });
        const read = await readGgufHeader(new MemorySource("m", header));
        assert.deepEqual(read.metadata, structuredClone(metadata));
      }),
      { numRuns: 300, interruptAfterTimeLimit: 2000 },
    );
  });
});
