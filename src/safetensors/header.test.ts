import assert from "node:assert/strict";
import { open } from "node:fs/promises";
import { test } from "node:test";
import fc from "fast-check";
import { FileSource, MemorySource } from "../bytes/source.js";
import { safetensorsBytes, safetensorsFile } from "../testing/safetensors-file.js";
import { readSafetensorsHeader } from "./header.js";

const sound = safetensorsBytes({
  b: { dtype: "F32", shape: [2, 3], data: new Uint8Array(24) },
  a: { dtype: "BF16", shape: [4], data: new Uint8Array(8) },
  empty: { dtype: "F16", shape: [0, 5], data: new Uint8Array(0) },
  scalar: { dtype: "F8_E4M3", shape: [], data: new Uint8Array(1) },
});

function read(bytes: Uint8Array) {
  return readSafetensorsHeader(new MemorySource("m.safetensors", bytes));
}

test("a sound header gives every tensor with its dtype, shape and place, and the free text", async () => {
  const header = await read(sound);
  const data = sound.length - 33;
  const rows = [...header.tensors.values()].map(({ name, dtype, shape, offset, byteLength }) => [
    name,
    dtype,
    shape.join("x"),
    offset - data,
    byteLength,
  ]);
  assert.deepEqual(rows, [
    ["b", "F32", "2x3", 0, 24],
    ["a", "BF16", "4", 24, 8],
    ["empty", "F16", "0x5", 32, 0],
    ["scalar", "F8_E4M3", "", 32, 1],
  ]);
  assert.deepEqual([...header.metadata], [["format", "pt"]]);
});

test("the tiny model's file is read by its header alone", async (t) => {
  const path = "fixtures/tiny-moe/model.safetensors";
  const file = await FileSource.open(path);
  t.after(() => file.close());
  let bytesRead = 0;
  const counting = {
    ...file,
    name: file.name,
    byteLength: file.byteLength,
    close: async () => {},
    read(offset: number, length: number) {
      bytesRead += length;
      return file.read(offset, length);
    },
  };
  const { tensors } = await readSafetensorsHeader(counting);
  assert.equal(tensors.size, 3 + 4 * (9 + 16 * 3));
  const handle = await open(path);
  t.after(() => handle.close());
  const { buffer } = await handle.read(new Uint8Array(8), 0, 8, 0);
  assert.equal(bytesRead, 8 + Number(new DataView(buffer.buffer).getBigUint64(0, true)));
});

test("a file cut off at any byte is refused", async () => {
  for (let length = 0; length < sound.length; length++) {
    await assert.rejects(read(sound.slice(0, length)), { name: "MalformedInputError" }, `${length} bytes`);
  }
  await assert.rejects(read(Uint8Array.of(...sound, 0)), {
    message: `m.safetensors: the tensors end at byte ${sound.length} but the file has ${sound.length + 1} bytes.`,
  });
});

test("a file with any byte changed is read with sound spans or refused as malformed", async () => {
  const position = fc.nat(sound.length - 1);
  const mutation = fc.array(fc.tuple(position, fc.nat(255)), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(mutation, async (changes) => {
      const bytes = sound.slice();
      for (const [place, value] of changes) {
        bytes[place] = value;
      }
      try {
        for (const { offset, byteLength } of (await read(bytes)).tensors.values()) {
          assert.ok(offset >= 8 && offset + byteLength <= bytes.length);
        }
      } catch (error) {
        assert.equal((error as Error).name, "MalformedInputError", String(error));
      }
    }),
    { numRuns: 2000 },
  );
});

const f32 = (begin: unknown, end: unknown, shape: unknown = [1]) => ({
  dtype: "F32",
  shape,
  data_offsets: [begin, end],
});
const hostile: readonly [what: string, header: object | string, problem: string][] = [
  ["a header that is no object", "[1,2]", 'the header does not begin with "{"; this is no safetensors file'],
  [
    "a header that begins with space",
    " {}",
    'the header does not begin with "{"; this is no safetensors file',
  ],
  ["an unknown dtype", { t: { ...f32(0, 8), dtype: "F128" } }, 'tensor "t" has the unknown dtype "F128"'],
  ["no dtype", { t: { shape: [1], data_offsets: [0, 8] } }, 'tensor "t" has the unknown dtype null'],
  ["a tensor that is a number", { t: 5 }, 'tensor "t" has no description'],
  ["a negative dimension", { t: f32(0, 8, [-2]) }, 'the shape of tensor "t" is not a list of whole numbers'],
  ["a dimension of 1.5", { t: f32(0, 8, [1.5]) }, 'the shape of tensor "t" is not a list of whole numbers'],
  [
    "a dimension beyond exact numbers",
    { t: f32(0, 8, [2 ** 60]) },
    'the shape of tensor "t" is not a list of whole numbers',
  ],
  [
    "a shape whose product overflows",
    { t: f32(0, 8, [2 ** 50, 2 ** 50]) },
    'tensor "t" of F32 [1125899906842624, 1125899906842624] needs 5.070602400912918e+30 bytes but its span has 8',
  ],
  [
    "a shape larger than its span",
    { t: f32(0, 8, [3]) },
    'tensor "t" of F32 [3] needs 12 bytes but its span has 8',
  ],
  [
    "a sub-byte tensor that ends inside a byte",
    { t: { dtype: "F4", shape: [15], data_offsets: [0, 8] } },
    'tensor "t" of F4 [15] needs 7.5 bytes but its span has 8',
  ],
  ["an end before the begin", { t: f32(8, 0) }, 'data_offsets of tensor "t" are not a begin and an end'],
  [
    "three offsets",
    { t: { ...f32(0, 4), data_offsets: [0, 4, 8] } },
    'data_offsets of tensor "t" are not a begin and an end',
  ],
  ["a string as an offset", { t: f32("0", 8) }, 'data_offsets of tensor "t" are not a begin and an end'],
  [
    "free text that is no text",
    { __metadata__: { a: 1 }, t: f32(0, 8, [2]) },
    '__metadata__ entry "a" is not a string',
  ],
  ["free text that is a list", { __metadata__: [], t: f32(0, 8, [2]) }, "__metadata__ is not an object"],
];

for (const [what, header, problem] of hostile) {
  test(`${what} is refused`, async () => {
    await assert.rejects(read(safetensorsFile(header, new Uint8Array(8))), {
      name: "MalformedInputError",
      message: `m.safetensors: ${problem}.`,
    });
  });
}

test("tensors that overlap, leave a gap or lead out of the file are refused with their places", async () => {
  const cases: readonly [header: object, problem: RegExp][] = [
    [
      { a: f32(0, 8, [2]), b: f32(4, 8) },
      /tensor "b" at byte \d+ overlaps tensor "a", which ends at byte \d+\.$/,
    ],
    [
      { a: f32(0, 4), b: f32(0, 8, [2]) },
      /tensor "b" at byte \d+ overlaps tensor "a", which ends at byte \d+\.$/,
    ],
    [{ a: f32(4, 8) }, /tensor "a" at byte \d+ leaves a gap after the header, which ends at byte \d+\.$/],
    [{ a: f32(0, 4) }, /the tensors end at byte \d+ but the file has \d+ bytes\.$/],
    [
      { a: f32(0, 12, [3]) },
      /tensor "a" ends at byte \d+ but the file has \d+ bytes\. The file is truncated; download it again\.$/,
    ],
  ];
  for (const [header, message] of cases) {
    await assert.rejects(read(safetensorsFile(header, new Uint8Array(8))), {
      name: "MalformedInputError",
      message,
    });
  }
});

test("a tensor name that stands twice is refused", async () => {
  const entry = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}';
  await assert.rejects(read(safetensorsFile(`{"t":${entry},"t":${entry}}`, new Uint8Array(4))), {
    message:
      'm.safetensors (header): is not valid JSON at character 57: "t" stands twice in one object. Download it again.',
  });
});

test("a header length beyond the file or any sense is refused before memory is taken", async () => {
  const claim = (length: bigint) => {
    const bytes = sound.slice();
    new DataView(bytes.buffer).setBigUint64(0, length, true);
    return read(bytes);
  };
  await assert.rejects(claim(2n ** 63n), {
    message:
      "m.safetensors: the header claims 9223372036854775808 bytes, but 2 to 100000000 are possible; this is no safetensors file.",
  });
  await assert.rejects(claim(1n), /claims 1 bytes, but 2 to 100000000 are possible/);
  await assert.rejects(claim(99_999_999n), {
    message: `m.safetensors: the header claims 99999999 bytes but the file has only ${sound.length}. The file is truncated; download it again.`,
  });
});
