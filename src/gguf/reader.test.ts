import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { FileSource, MemorySource } from "../bytes/source.js";
import { ByteWriter } from "../bytes/writer.js";
import { types } from "../quants/types.js";
import { ggufBytes, plainMetadata } from "../testing/gguf-file.js";
import { everyFlatValue, nestedValues, someTensors } from "../testing/gguf-samples.js";
import { CountingSource } from "../testing/sources.js";
import { writeString } from "./encode.js";
import { metadataTypeIds } from "./format.js";
import { planGguf } from "./layout.js";
import { readGgufHeader } from "./reader.js";

const tinyModel = fileURLToPath(new URL("../../fixtures/tiny-moe-q8_0.gguf", import.meta.url));

/** The header of bytes called `m.gguf`. */
function read(bytes: Uint8Array | string) {
  return readGgufHeader(new MemorySource("m.gguf", typeof bytes === "string" ? Buffer.from(bytes) : bytes));
}

/** The sentence with which bytes are refused. */
async function refusal(bytes: Uint8Array | string): Promise<string> {
  const error: unknown = await read(bytes).then(
    () => assert.fail("was accepted"),
    (error: unknown) => error,
  );
  assert.ok(error instanceof Error && error.name === "MalformedInputError", String(error));
  return error.message;
}

/** A header written field by field, followed by zeros. */
function rawFile(
  version: number,
  counts: { tensors?: bigint; keys?: bigint },
  write: (writer: ByteWriter) => void = () => {},
  zeros = 0,
): Uint8Array {
  const writer = new ByteWriter();
  writer.raw(Buffer.from("GGUF"));
  writer.uint32(version);
  writer.uint64(counts.tensors ?? 0n);
  writer.uint64(counts.keys ?? 0n);
  write(writer);
  writer.zeros(zeros);
  return writer.finish();
}

/** A file with one key that is written by `write` after its name and type, followed by zeros. */
function oneKey(type: number, write: (writer: ByteWriter) => void, zeros = 0): Uint8Array {
  return rawFile(
    3,
    { keys: 1n },
    (writer) => {
      writeString(writer, "k");
      writer.uint32(type);
      write(writer);
    },
    zeros,
  );
}

interface RawTensor {
  name?: string;
  sizes?: readonly bigint[];
  type?: number;
  offset?: bigint;
}

/** A file with tensors of which anything may be wrong (F32, 4 weights each, side by side) and 256 zeros. */
function withTensors(...tensors: RawTensor[]): Uint8Array {
  return rawFile(
    3,
    { tensors: BigInt(tensors.length) },
    (writer) => {
      for (const [index, { name, sizes = [4n], type = 0, offset }] of tensors.entries()) {
        writeString(writer, name ?? `t${index}`);
        writer.uint32(sizes.length);
        for (const size of sizes) {
          writer.uint64(size);
        }
        writer.uint32(type);
        writer.uint64(offset ?? BigInt(32 * index));
      }
    },
    256,
  );
}

describe("reading a GGUF header", () => {
  it("reads the shipped model, whose header can be written again byte for byte", async (t) => {
    const source = await FileSource.open(tinyModel);
    t.after(() => source.close());
    const header = await readGgufHeader(source);
    const layout = planGguf(header);
    assert.deepEqual(layout.header, await source.read(0, header.dataOffset));
    assert.deepEqual(layout.tensors, header.tensors);
    assert.equal(layout.byteLength, source.byteLength);
  });

  it("reads tensors of every type", async () => {
    const tensors = [...types.keys()].map((type) => ({ name: type, shape: [256, 2], type }));
    const layout = planGguf({ metadata: new Map(), tensors });
    const header = await read(Buffer.concat([layout.header], layout.byteLength));
    assert.deepEqual(
      header.tensors.map(({ name, shape, type }) => ({ name, shape, type })),
      tensors,
    );
  });

  it("gives back every value that was written, under any key", async () => {
    const { metadata } = await read(ggufBytes({ metadata: everyFlatValue }));
    assert.deepEqual(metadata, everyFlatValue);
    assert.deepEqual((await read(ggufBytes({ metadata: nestedValues }))).metadata, nestedValues);
  });

  it("reads a scalar as a row of one weight, as llama.cpp does", async () => {
    const { tensors } = await read(withTensors({ sizes: [] }));
    assert.deepEqual(tensors[0]?.shape, [1]);
  });

  it("reads tensors whose data lies in another order or apart", async () => {
    const { tensors, dataOffset } = await read(withTensors({ offset: 128n }, { offset: 0n }));
    assert.deepEqual(
      tensors.map((tensor) => tensor.offset - dataOffset),
      [128, 0],
    );
  });

  it("reads a long header in few windows that double, and nothing of the data", async () => {
    const tokens = Array.from({ length: 100_000 }, (_, index) => `token ${index}`);
    const layout = planGguf({
      metadata: plainMetadata({ "tokenizer.ggml.tokens": tokens }),
      tensors: [{ name: "t", shape: [4096, 1024], type: "F32" }],
    });
    const file = new Uint8Array(layout.byteLength);
    file.set(layout.header);
    const source = new CountingSource("m.gguf", file);
    const header = await readGgufHeader(source);
    assert.deepEqual(header.metadata.get("tokenizer.ggml.tokens")?.value, tokens);
    const bytesRead = source.reads.reduce((sum, read) => sum + read.length, 0);
    assert.ok(bytesRead <= 2 * layout.header.byteLength, `${bytesRead} bytes`);
    assert.ok(source.reads.length <= 5, `${source.reads.length} reads`);
  });

  it("asks for a short file's header once, and for no byte beyond the end", async () => {
    const bytes = ggufBytes({ metadata: everyFlatValue, tensors: someTensors });
    const source = new CountingSource("m.gguf", bytes);
    await readGgufHeader(source);
    assert.deepEqual(source.reads, [{ offset: 0, length: bytes.byteLength }]);
  });
});

describe("a value that JavaScript cannot hold exactly", () => {
  const signallingNaN = Buffer.from("010080ff", "hex");
  const notUtf8 = Buffer.from("66c3ff6f", "hex");

  it("is written again with the bytes it had, alone and in arrays", async () => {
    const values: [type: number, write: (writer: ByteWriter) => void][] = [
      [metadataTypeIds.float32, (writer) => writer.raw(signallingNaN)],
      [metadataTypeIds.bool, (writer) => writer.uint8(2)],
      [
        metadataTypeIds.array,
        (writer) => {
          writer.uint32(metadataTypeIds.string);
          writer.uint64(1n);
          writer.uint64(4n);
          writer.raw(notUtf8);
        },
      ],
      [
        metadataTypeIds.array,
        (writer) => {
          writer.uint32(metadataTypeIds.float32);
          writer.uint64(1n);
          writer.raw(signallingNaN);
        },
      ],
    ];
    for (const [type, write] of values) {
      const bytes = oneKey(type, write);
      const header = await read(bytes);
      const again = planGguf({ metadata: new Map(header.metadata), tensors: [] }).header;
      assert.deepEqual(again.subarray(0, bytes.byteLength), bytes);
    }
  });

  it("still reads as the nearest thing", async () => {
    const bytes = oneKey(metadataTypeIds.string, (writer) => {
      writer.uint64(4n);
      writer.raw(notUtf8);
    });
    assert.equal((await read(bytes)).metadata.get("k")?.value, "f\ufffd\ufffdo");
  });

  it("keeps a byte order mark at the beginning of a text", async () => {
    const bytes = ggufBytes({ metadata: { k: "\ufefftext" } });
    assert.equal((await read(bytes)).metadata.get("k")?.value, "\ufefftext");
  });
});

describe("a file that is not GGUF", () => {
  const cases: [what: string, content: Uint8Array | string, sentence: string][] = [
    ["empty", "", "m.gguf: is empty: it has 0 bytes. The download or copy failed; do it again."],
    [
      "a Git LFS pointer",
      "version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 11410000000\n",
      'm.gguf: is a Git LFS pointer, not the model itself. Run "git lfs pull" in its repository, or download the file.',
    ],
    [
      "a web page",
      "\n<!DOCTYPE html><html><head><title>404</title>",
      "m.gguf: is a web page, not a model: the download was answered with a page. Download the file itself.",
    ],
    [
      "a server's error",
      '{"error":"Repository not found"}',
      "m.gguf: is JSON text, not a model: perhaps a server's error message. Download the file itself.",
    ],
    [
      "a file from before GGUF",
      "tjgg\u0003\u0000\u0000\u0000",
      "m.gguf: is a GGML file from before GGUF (2023). Convert the original model again.",
    ],
    [
      "a PyTorch checkpoint",
      "PK\u0003\u0004\u0014\u0000",
      "m.gguf: is a zip archive, perhaps a PyTorch checkpoint, not a GGUF file. Unpack or convert it first.",
    ],
    [
      "a safetensors file",
      '\u0048\u0000\u0000\u0000\u0000\u0000\u0000\u0000{"__metadata__":{}}',
      "m.gguf: is a safetensors file, not a GGUF file. Name the folder that it lies in.",
    ],
    [
      "anything else",
      "Entry not found",
      'm.gguf: is not a GGUF file: it begins with the bytes 45 6e 74 72, not with 47 47 55 46 ("GGUF"). Name a GGUF file, or download it again.',
    ],
    [
      "cut off within the magic",
      "GG",
      'm.gguf: is not a GGUF file: it begins with the bytes 47 47, not with 47 47 55 46 ("GGUF"). Name a GGUF file, or download it again.',
    ],
  ];
  for (const [what, content, sentence] of cases) {
    it(`is recognized: ${what}`, async () => assert.equal(await refusal(content), sentence));
  }
});

describe("a GGUF file of another kind", () => {
  it("is refused by its version", async () => {
    assert.equal(
      await refusal(rawFile(1, {})),
      "m.gguf: is GGUF version 1, which llama.cpp no longer reads either. Download a newer file or convert the original model again.",
    );
    assert.equal(
      await refusal(rawFile(4, {})),
      "m.gguf: is GGUF version 4; Lopsided reads versions 2 and 3.",
    );
    assert.equal(
      await refusal(rawFile(0, {})),
      "m.gguf: is GGUF version 0; Lopsided reads versions 2 and 3.",
    );
  });

  it("is refused if it is big-endian", async () => {
    assert.equal(
      await refusal(rawFile(0x03000000, {})),
      "m.gguf: is a big-endian GGUF file, made for machines such as IBM Z. Download the little-endian file, or convert it with llama.cpp's gguf_convert_endian.py.",
    );
  });
});

describe("a damaged header is refused with a sentence about", () => {
  const cases: [what: string, content: Uint8Array, sentence: string][] = [
    [
      "an absurd count of tensors",
      rawFile(3, { tensors: 2n ** 63n }),
      "m.gguf: the header claims 9223372036854775808 tensors, but only 8 bytes follow. The file is truncated or damaged; download or write it again.",
    ],
    [
      "an absurd count of keys",
      rawFile(3, { keys: 100n }),
      "m.gguf: the header claims 100 keys, but only 0 bytes follow. The file is truncated or damaged; download or write it again.",
    ],
    [
      "more keys than any model has",
      rawFile(3, { keys: 2n ** 16n + 1n }, () => {}, 2 ** 20),
      "m.gguf: the header claims 65537 keys; more than 65536 are refused. The file is damaged; download or write it again.",
    ],
    [
      "a key without a name",
      rawFile(3, { keys: 1n }, () => {}, 32),
      "m.gguf: key 1 of 1 has an empty name. The file is damaged; download or write it again.",
    ],
    [
      "a key longer than the file",
      rawFile(3, { keys: 1n }, (writer) => writer.uint64(2n ** 32n), 32),
      "m.gguf: key 1 of 1 claims 4294967296 bytes of text, but only 32 bytes follow. The file is truncated or damaged; download or write it again.",
    ],
    [
      "a key that is not UTF-8",
      rawFile(
        3,
        { keys: 1n },
        (writer) => {
          writer.uint64(1n);
          writer.uint8(0xff);
        },
        32,
      ),
      "m.gguf: key 1 of 1 has a name that is not UTF-8. The file is damaged; download or write it again.",
    ],
    [
      "a value of an unknown type",
      oneKey(13, () => {}, 32),
      'm.gguf: key "k" has a value of type number 13; types 0 to 12 are known. The file is damaged; download or write it again.',
    ],
    [
      "an absurdly long array",
      oneKey(
        9,
        (writer) => {
          writer.uint32(6);
          writer.uint64(2n ** 40n);
        },
        32,
      ),
      'm.gguf: key "k" claims 1099511627776 items of type float32, but only 32 bytes follow. The file is truncated or damaged; download or write it again.',
    ],
    [
      "an array longer than any model's",
      oneKey(
        9,
        (writer) => {
          writer.uint32(0);
          writer.uint64(2n ** 22n + 1n);
        },
        2 ** 22 + 1,
      ),
      'm.gguf: key "k" claims 4194305 items of type uint8; more than 4194304 are refused. The file is damaged; download or write it again.',
    ],
    [
      "an array of items of an unknown type",
      oneKey(
        9,
        (writer) => {
          writer.uint32(99);
          writer.uint64(0n);
        },
        32,
      ),
      'm.gguf: key "k" has a value of type number 99; types 0 to 12 are known. The file is damaged; download or write it again.',
    ],
    [
      "arrays nested too deeply",
      oneKey(
        9,
        (writer) => {
          for (let level = 0; level < 5; level++) {
            writer.uint32(9);
            writer.uint64(1n);
          }
        },
        32,
      ),
      'm.gguf: key "k" nests arrays more than 4 deep. The file is damaged; download or write it again.',
    ],
    [
      "a duplicate key",
      rawFile(3, { keys: 2n }, (writer) => {
        for (let copy = 0; copy < 2; copy++) {
          writeString(writer, "same");
          writer.uint32(0);
          writer.uint8(1);
        }
      }),
      'm.gguf: two keys are named "same". The file is damaged; write it again.',
    ],
    [
      "a name that would fill or steer a terminal, shown harmlessly",
      withTensors({ name: `\u001b[2J${"x".repeat(50_000)}`, type: 99 }),
      `m.gguf: tensor "\\u{1b}[2J${"x".repeat(96)}..." has the type number 99, which is no tensor type that Lopsided knows. Update Lopsided, or download the file again.`,
    ],
    [
      "an alignment that is not a power of two",
      rawFile(3, { keys: 1n }, (writer) => {
        writeString(writer, "general.alignment");
        writer.uint32(4);
        writer.uint32(48);
      }),
      'm.gguf: key "general.alignment" is 48; it must be a power of two. Write the file again.',
    ],
    [
      "an alignment of another type",
      rawFile(3, { keys: 1n }, (writer) => {
        writeString(writer, "general.alignment");
        writer.uint32(10);
        writer.uint64(32n);
      }),
      'm.gguf: key "general.alignment" is of type uint64; it must be uint32. Write the file again.',
    ],
    [
      "a duplicate tensor",
      withTensors({ name: "same" }, { name: "same" }),
      'm.gguf: two tensors are named "same". The file is damaged; write it again.',
    ],
    [
      "too many dimensions",
      withTensors({ sizes: [4n, 1n, 1n, 1n, 1n] }),
      'm.gguf: tensor "t0" has 5 dimensions; at most 4 are possible. The file is damaged; download or write it again.',
    ],
    [
      "a dimension of zero",
      withTensors({ sizes: [4n, 0n] }),
      'm.gguf: tensor "t0" has the impossible shape [4, 0]. The file is damaged; download or write it again.',
    ],
    [
      "dimensions whose product is too large",
      withTensors({ sizes: [2n ** 32n, 2n ** 32n] }),
      'm.gguf: tensor "t0" has the impossible shape [4294967296, 4294967296]. The file is damaged; download or write it again.',
    ],
    [
      "an unknown tensor type",
      withTensors({ type: 31 }),
      'm.gguf: tensor "t0" has the type number 31, which is no tensor type that Lopsided knows. Update Lopsided, or download the file again.',
    ],
    [
      "rows that do not fill whole blocks",
      withTensors({ sizes: [300n], type: 12 }),
      'm.gguf: tensor "t0" is Q4_K with rows of 300 weights, not a multiple of 256. The file is damaged; download or write it again.',
    ],
    [
      "a misaligned tensor",
      withTensors({ offset: 8n }),
      'm.gguf: tensor "t0" starts at byte 8 of the data, not at a multiple of 32. The file is damaged; download or write it again.',
    ],
    [
      "a tensor beyond the end of the file",
      withTensors({ offset: 4096n }),
      'm.gguf: tensor "t0" ends at byte 4176 but the file has 314 bytes, 3862 too few for all tensors. The file is truncated; download it again.',
    ],
    [
      "an offset that no file has",
      withTensors({ offset: 2n ** 64n - 32n }),
      'm.gguf: tensor "t0" has 16 bytes at 18446744073709552000 of the data, more than any file. The file is damaged; download or write it again.',
    ],
    [
      "tensors that overlap",
      withTensors({ sizes: [16n] }, { offset: 32n }),
      'm.gguf: tensors "t0" and "t1" overlap at byte 128. The file is damaged; download or write it again.',
    ],
  ];
  for (const [what, content, sentence] of cases) {
    it(what, async () => assert.equal(await refusal(content), sentence));
  }
});

describe("a header longer than any model's", () => {
  it("is refused before it is read", async () => {
    const bytes = oneKey(8, (writer) => writer.uint64(2n ** 26n));
    const source = new CountingSource("m.gguf", bytes);
    Object.defineProperty(source, "byteLength", { value: 2 ** 40 });
    source.read = async (offset, length) => {
      source.reads.push({ offset, length });
      const window = new Uint8Array(length);
      if (offset === 0) {
        window.set(bytes);
      }
      return window;
    };
    await assert.rejects(readGgufHeader(source), {
      message:
        'm.gguf: key "k" reaches byte 67108909; headers over 67108864 bytes are refused. The file is damaged; download or write it again.',
    });
    assert.deepEqual(source.reads, [{ offset: 0, length: 262144 }]);
  });
});

describe("a truncated file", () => {
  const bytes = ggufBytes({
    metadata: plainMetadata({ "general.name": "short", list: [1, 2, 3], words: ["a", "bc"] }),
    tensors: [
      { name: "a", shape: [32, 2], type: "Q8_0" },
      { name: "b", shape: [5], type: "F32" },
    ],
  });

  it("is refused wherever it ends", async () => {
    const { tensors } = await read(bytes);
    const end = Math.max(...tensors.map(({ offset, byteLength }) => offset + byteLength));
    for (let length = 0; length < end; length++) {
      const sentence = await refusal(bytes.subarray(0, length));
      assert.match(sentence, /^m\.gguf: .*(is empty|truncated|not a GGUF file)/, `${length} bytes`);
    }
    for (let length = end; length <= bytes.byteLength; length++) {
      await read(bytes.subarray(0, length));
    }
  });

  it("is described by what is cut off", async () => {
    assert.equal(
      await refusal(bytes.subarray(0, 12)),
      "m.gguf: ends inside the header: 8 bytes are needed at offset 8 but the file has only 12. The file is truncated; download or write it again.",
    );
    assert.equal(
      await refusal(bytes.subarray(0, 30)),
      "m.gguf: the header claims 2 tensors, but only 14 bytes follow. The file is truncated or damaged; download or write it again.",
    );
    assert.equal(
      await refusal(bytes.subarray(0, 80)),
      'm.gguf: ends inside key "list": 4 bytes are needed at offset 77 but the file has only 80. The file is truncated; download or write it again.',
    );
    const { tensors } = await read(bytes);
    assert.equal(
      await refusal(bytes.subarray(0, tensors[1]!.offset)),
      `m.gguf: tensor "b" ends at byte ${tensors[1]!.offset + 20} but the file has ${tensors[1]!.offset} bytes, 20 too few for all tensors. The file is truncated; download it again.`,
    );
  });
});
