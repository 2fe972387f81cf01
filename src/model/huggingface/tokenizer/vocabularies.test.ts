/** Vocabularies beside byte-level BPE: SentencePiece, tiktoken, BPE of characters. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import type { Metadata } from "../../../gguf/metadata.js";
import { type Files, MemoryFolder } from "../../../testing/memory-folder.js";
import { Fields } from "../fields.js";
import { byteCharacters } from "./byte-characters.js";
import { tiktokenVocabulary } from "./tiktoken.js";
import { tokenizerMetadata } from "./tokenizer.js";

async function read(files: Files, size: number, config: object = {}): Promise<Metadata> {
  const folder = new MemoryFolder("m", { ...files, "config.json": config });
  const fields = (await Fields.read(folder, "config.json"))!;
  try {
    return await tokenizerMetadata(folder, fields, size);
  } finally {
    assert.deepEqual(folder.unclosed, []);
  }
}

const values = (metadata: Metadata) =>
  Object.fromEntries([...metadata].map(([key, { value }]) => [key.replace("tokenizer.ggml.", ""), value]));

/** A field of a protocol buffer with a length. */
function bytesField(field: number, bytes: Uint8Array): Uint8Array {
  assert.ok(bytes.length < 16_384);
  const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 127) | 128, bytes.length >> 7];
  return Uint8Array.of(field * 8 + 2, ...length, ...bytes);
}

function piece(text: string, score: number, kind?: number): Uint8Array {
  const float = new Uint8Array(Float32Array.of(score).buffer);
  const parts = [
    ...bytesField(1, new TextEncoder().encode(text)),
    2 * 8 + 5,
    ...float,
    ...(kind === undefined ? [] : [3 * 8, kind]),
  ];
  return bytesField(1, Uint8Array.from(parts));
}

const pieces = [
  piece("<unk>", 0, 2),
  piece("<s>", 0, 3),
  piece("<0x0A>", 0, 6),
  piece("▁the", -1.5),
  piece("é", -2),
];
const bpe = Buffer.concat([...pieces, bytesField(2, Uint8Array.of(3 * 8, 2))]);

test("a SentencePiece BPE model gives tokens, scores and types; ids beyond it are unused", async () => {
  const metadata = await read({ "tokenizer.model": bpe }, 6, { bos_token_id: 1 });
  assert.deepEqual(values(metadata), {
    model: "llama",
    pre: "default",
    tokens: ["<unk>", "<s>", "<0x0A>", "▁the", "é", "[PAD5]"],
    scores: [0, 0, 0, -1.5, -2, -10000],
    token_type: [2, 3, 6, 1, 1, 5],
    bos_token_id: 1,
  });
});

test("added tokens take the places that the files give them, the configuration's after the list's", async () => {
  const metadata = await read(
    {
      "tokenizer.model": bpe,
      "added_tokens.json": { "<x>": 5 },
      "tokenizer_config.json": {
        added_tokens_decoder: {
          "4": { content: "▁▁", special: false },
          "5": { content: "<y>", special: true },
        },
      },
    },
    6,
  );
  const { tokens, scores, token_type: types } = values(metadata);
  assert.deepEqual((tokens as string[]).slice(3), ["▁the", "  ", "<y>"]);
  assert.deepEqual((scores as number[]).slice(3), [-1.5, -1000, -1000]);
  assert.deepEqual((types as number[]).slice(3), [1, 4, 3]);
});

test("a Unigram model keeps its normalizer", async () => {
  const normalizer = bytesField(3, Uint8Array.of(...bytesField(2, Uint8Array.of(1, 2, 3)), 3 * 8, 0));
  const unigram = Buffer.concat([...pieces, bytesField(2, Uint8Array.of(3 * 8, 1)), normalizer]);
  const metadata = await read({ "tokenizer.model": unigram }, 5);
  const found = values(metadata);
  assert.equal(found.model, "t5");
  assert.equal(found.add_space_prefix, false);
  assert.equal(found.remove_extra_whitespaces, true);
  assert.deepEqual(found.precompiled_charsmap, [1, 2, 3]);
});

test("a SentencePiece model of more pieces than any tokenizer has is refused", async () => {
  const many = new Uint8Array(2 * (2 ** 20 + 1)).fill(0).map((_, index) => (index % 2 === 0 ? 10 : 0));
  await assert.rejects(read({ "tokenizer.model": many }, 6), {
    name: "MalformedInputError",
    message: "m/tokenizer.model: has more than 1048576 pieces, which no tokenizer has; download it again.",
  });
});

test("a tiktoken file with a token so long that its merges would take days is refused", async () => {
  const long = Buffer.from("a".repeat(20_000)).toString("base64");
  await assert.rejects(read({ "tiktoken.model": `YQ== 0\n${long} 1\n` }, 4), {
    name: "MalformedInputError",
    message:
      "m/tiktoken.model: has tokens as long as no tokenizer has, such as one of 20000 bytes; download it again.",
  });
});

test("a SentencePiece model cut off anywhere is read or refused as damaged", async () => {
  let refused = 0;
  for (let length = 0; length < bpe.length; length++) {
    try {
      await read({ "tokenizer.model": bpe.subarray(0, length) }, 6);
    } catch (error) {
      assert.equal((error as Error).name, "MalformedInputError", `${length}: ${error}`);
      refused++;
    }
  }
  assert.ok(refused > bpe.length / 2);
});

test("a tiktoken file of the tiny model's tokens gives the merges of its tokenizer.json", async () => {
  const json = JSON.parse(await readFile("fixtures/tiny-moe/tokenizer.json", "utf8"));
  const bytesOf = new Map(
    Array.from({ length: 256 }, (_, byte) => [byteCharacters(String.fromCharCode(byte)), byte]),
  );
  const vocabulary = Object.entries(json.model.vocab as Record<string, number>).sort(([, a], [, b]) => a - b);
  const lines = vocabulary.map(([token, id]) => {
    const bytes = Buffer.from([...token].map((character) => bytesOf.get(character)!));
    return `${bytes.toString("base64")} ${id}`;
  });
  const size = vocabulary.length + 2;
  const config = new Fields("c", new Map([["added_tokens_decoder", new Map()]]));
  const { tokens, merges, types } = tiktokenVocabulary("tiktoken.model", lines.join("\n"), config, size);
  assert.deepEqual(
    tokens.slice(0, -2),
    vocabulary.map(([token]) => token),
  );
  assert.deepEqual(
    merges,
    json.model.merges.map((merge: string | string[]) =>
      typeof merge === "string" ? merge : merge.join(" "),
    ),
  );
  const next = vocabulary.length;
  assert.deepEqual(tokens.slice(-2), [`<|reserved_token_${next}|>`, `<|reserved_token_${next + 1}|>`]);
  assert.deepEqual(types.slice(-2), [3, 3]);
});

test("a line that is no token is refused with its number", async () => {
  await assert.rejects(read({ "tiktoken.model": "YQ== 0\nnonsense\n" }, 4), {
    name: "MalformedInputError",
    message: "m/tiktoken.model: line 2 is not a token in base64 and its rank; download it again.",
  });
});

test("a BPE of characters keeps its merges, and shows the tokens that answers are read by", async () => {
  const tokenizer = {
    normalizer: { type: "Replace", pattern: { String: " " }, content: "▁" },
    added_tokens: [
      { id: 0, content: "<bos>", special: true },
      { id: 4, content: "<|channel>", special: true },
    ],
    model: {
      type: "BPE",
      byte_fallback: true,
      vocab: { "<bos>": 0, "<0x0A>": 1, a: 2, "▁a": 3, "<|channel>": 4 },
      merges: [["▁", "a"]],
    },
  };
  const files = {
    "tokenizer.json": tokenizer,
    "tokenizer_config.json": { bos_token: "<bos>", add_bos_token: false },
  };
  assert.deepEqual(values(await read(files, 6)), {
    model: "gemma4",
    tokens: ["<bos>", "<0x0A>", "a", "▁a", "<|channel>", "[PAD5]"],
    scores: [-1000, -1000, -1000, -1000, -1000, -1000],
    token_type: [3, 6, 1, 1, 4, 5],
    merges: ["▁ a"],
    add_space_prefix: false,
    add_bos_token: true,
    bos_token_id: 0,
  });
});

test("a folder without any tokenizer is refused", async () => {
  await assert.rejects(read({}, 4), {
    name: "MalformedInputError",
    message:
      "m: has no tokenizer.json (nor tokenizer.model or tiktoken.model); download it, or write it with transformers' save_pretrained.",
  });
});
