import assert from "node:assert/strict";
import { test } from "node:test";
import { type JsonObject, parseJson } from "../../../bytes/json.js";
import { type Metadata, metadataString } from "../../../gguf/metadata.js";
import { tinyTokenizer } from "../../../testing/hugging-face-model.js";
import { type Files, MemoryFolder } from "../../../testing/memory-folder.js";
import { Fields } from "../fields.js";
import { preTokenizerName } from "./pre-tokenizer.js";
import { tokenizerMetadata } from "./tokenizer.js";

async function read(tokenizer: object, more: Files = {}, size = 6, config: object = {}): Promise<Metadata> {
  const folder = new MemoryFolder("m", { "tokenizer.json": tokenizer, ...more, "config.json": config });
  const fields = (await Fields.read(folder, "config.json"))!;
  try {
    return await tokenizerMetadata(folder, fields, size);
  } finally {
    assert.deepEqual(folder.unclosed, []);
  }
}

function values(metadata: Metadata, prefix: string): Readonly<Record<string, unknown>> {
  const entries = [...metadata].filter(([key]) => key.startsWith(prefix));
  return Object.fromEntries(entries.map(([key, { value }]) => [key.slice(prefix.length), value]));
}

const withModel = (changes: object) => ({ ...tinyTokenizer, model: { ...tinyTokenizer.model, ...changes } });
const added = (...tokens: readonly object[]) => ({ ...tinyTokenizer, added_tokens: tokens });

test("tokens stand at their ids, free ids are unused, added tokens are control tokens", async () => {
  const metadata = await read(tinyTokenizer);
  assert.deepEqual(values(metadata, "tokenizer.ggml."), {
    model: "gpt2",
    pre: "qwen2",
    tokens: ["a", "b", "ab", "<|end|>", "[PAD4]", "[PAD5]"],
    token_type: [1, 1, 1, 3, 5, 5],
    merges: ["a b"],
  });
});

test("an added token is a control token if it is special or looks so, else a token of the user", async () => {
  const tokens = ["<tool>", "<|x|>", "<｜y｜>", "<unused7>", "<pad>", "▁▁"].map((content, id) => ({
    id,
    content,
    special: false,
  }));
  const metadata = await read({ ...withModel({ vocab: {}, merges: [] }), added_tokens: tokens });
  assert.deepEqual(metadata.get("tokenizer.ggml.token_type")?.value, [4, 3, 3, 3, 3, 4]);
  assert.deepEqual(metadata.get("tokenizer.ggml.tokens")?.value, [
    "<tool>",
    "<|x|>",
    "<｜y｜>",
    "<unused7>",
    "<pad>",
    "  ",
  ]);
  assert.equal(metadata.get("tokenizer.ggml.merges"), undefined);
});

test("tokens that only tokenizer_config.json adds or gives a role are found", async () => {
  const config = {
    added_tokens_decoder: {
      "3": { content: "<|end|>", special: true },
      "5": { content: "<x>", special: false },
    },
    bos_token: { content: "b", lstrip: false },
    additional_special_tokens: ["a", "<|end|>", "unknown"],
  };
  const metadata = await read(tinyTokenizer, { "tokenizer_config.json": config });
  assert.deepEqual(metadata.get("tokenizer.ggml.tokens")?.value, [
    "a",
    "b",
    "ab",
    "<|end|>",
    "[PAD4]",
    "<x>",
  ]);
  assert.deepEqual(metadata.get("tokenizer.ggml.token_type")?.value, [3, 3, 1, 3, 5, 4]);
});

test("merges are read as strings and as pairs, and a space inside a token becomes its byte character", async () => {
  const metadata = await read(withModel({ merges: ["a b", ["a", "b"], [" a", "b "]] }));
  assert.deepEqual(metadata.get("tokenizer.ggml.merges")?.value, ["a b", "a b", "Ġa bĠ"]);
});

const refused: readonly [what: string, tokenizer: object, problem: string][] = [
  [
    "an id beyond the vocabulary",
    withModel({ vocab: { a: 6 } }),
    'token "a" has the id 6, but config.json has 6 tokens',
  ],
  ["a negative id", withModel({ vocab: { a: -1 } }), 'token "a" has the id -1, but config.json has 6 tokens'],
  [
    "an id that is no number",
    withModel({ vocab: { a: "1" } }),
    'token "a" has the id 1, but config.json has 6 tokens',
  ],
  [
    "two tokens with one id",
    withModel({ vocab: { a: 1, b: 1 } }),
    'token "b" with the id 1 contradicts another token',
  ],
  [
    "an added token with the id of another token",
    added({ id: 2, content: "<|end|>", special: true }),
    'token "<|end|>" with the id 2 contradicts another token',
  ],
  [
    "an added token that has another id in the vocabulary",
    added({ id: 4, content: "ab", special: true }),
    'token "ab" with the id 4 contradicts another token',
  ],
  [
    "a merge of three",
    withModel({ merges: [["a", "b", "c"]] }),
    'the merge ["a","b","c"] is not a pair of tokens',
  ],
  ["a merge of one", withModel({ merges: ["ab"] }), 'the merge "ab" is not a pair of tokens'],
  [
    "a tokenizer that is not BPE",
    withModel({ type: "WordPiece" }),
    "the tokenizer is WordPiece, not byte-level BPE",
  ],
  [
    "a tokenizer with byte fallback",
    withModel({ byte_fallback: true }),
    "the tokenizer is BPE with byte fallback, not byte-level BPE",
  ],
  [
    "a normalizer that llama.cpp lacks",
    { ...tinyTokenizer, normalizer: { type: "Lowercase" } },
    'llama.cpp has no normalizer "Lowercase" for BPE tokenizers',
  ],
  [
    "a sequence with a normalizer that llama.cpp lacks",
    {
      ...tinyTokenizer,
      normalizer: { type: "Sequence", normalizers: [{ type: "NFC" }, { type: "Replace" }] },
    },
    'llama.cpp has no normalizer "Replace" for BPE tokenizers',
  ],
];

for (const [what, tokenizer, problem] of refused) {
  test(`${what} is refused`, async () => {
    await assert.rejects(read(tokenizer), {
      name: "MalformedInputError",
      message: `m/tokenizer.json: ${problem}.`,
    });
  });
}

test("no normalizer, an empty sequence of them and NFC are all the same to llama.cpp", async () => {
  const nfc = { type: "NFC" };
  for (const normalizer of [
    null,
    nfc,
    { type: "Sequence", normalizers: [] },
    { type: "Sequence", normalizers: [nfc] },
  ]) {
    await assert.doesNotReject(read({ ...tinyTokenizer, normalizer }));
  }
});

test("names that mean something to JavaScript are tokens like others", async () => {
  const vocabulary = JSON.parse('{"__proto__": 0, "constructor": 1}');
  const text = JSON.stringify(tinyTokenizer).replace('{"a":0,"b":1,"ab":2}', JSON.stringify(vocabulary));
  const folder = { "tokenizer.json": text };
  assert.deepEqual((await read({}, folder)).get("tokenizer.ggml.tokens")?.value, [
    "__proto__",
    "constructor",
    "[PAD2]",
    "<|end|>",
    "[PAD4]",
    "[PAD5]",
  ]);
});

const split = (expression: string) => ({
  type: "Split",
  pattern: { Regex: expression },
  behavior: "Isolated",
  invert: false,
});
const byteLevel = (useRegex: boolean) => ({
  type: "ByteLevel",
  add_prefix_space: false,
  use_regex: useRegex,
});
const llama3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const withPreTokenizer = (preTokenizer: object | null, ignoreMerges = false) => ({
  ...withModel({ ignore_merges: ignoreMerges }),
  pre_tokenizer: preTokenizer,
});

test("the pre-tokenizer is told by its rules", async () => {
  const sequence = (...pretokenizers: readonly object[]) => ({ type: "Sequence", pretokenizers });
  const names = [
    withPreTokenizer(byteLevel(true)),
    withPreTokenizer(sequence(split(llama3), byteLevel(false)), true),
    withPreTokenizer(sequence(split(llama3.replace("{1,3}", "")), byteLevel(false))),
    withPreTokenizer(sequence(sequence(split(llama3.replace("{1,3}", ""))), byteLevel(false))),
    withPreTokenizer(sequence(split(llama3), byteLevel(false))),
    withPreTokenizer(sequence({ type: "Digits", individual_digits: true }, byteLevel(true))),
  ].map(async (tokenizer) => metadataString(await read(tokenizer), "tokenizer.ggml.pre"));
  const expected = ["gpt-2", "llama-bpe", "qwen2", "qwen2", "glm4", "starcoder"];
  assert.deepEqual(await Promise.all(names), expected);
});

test("of several names for one way of cutting the family's is taken", () => {
  const fields = (tokenizer: object) =>
    new Fields("t", parseJson(JSON.stringify(tokenizer), "t") as JsonObject);
  const plain = fields(withPreTokenizer(byteLevel(true)));
  assert.equal(preTokenizerName(plain, "olmo"), "olmo");
  assert.equal(preTokenizerName(plain, "glm4"), "gpt-2");
  const words = { type: "Sequence", pretokenizers: [split(llama3), byteLevel(false)] };
  assert.equal(preTokenizerName(fields(withPreTokenizer(words, true)), "glm4"), "glm4");
});

test("a pre-tokenizer that llama.cpp does not have in the same way is refused with its rules", async () => {
  for (const tokenizer of [
    withPreTokenizer(null),
    withPreTokenizer({ type: "Whitespace" }),
    withPreTokenizer({ type: "ByteLevel", add_prefix_space: true, use_regex: true }),
    withPreTokenizer(byteLevel(true), true),
    withPreTokenizer({
      type: "Sequence",
      pretokenizers: [{ ...split(llama3), behavior: "Removed" }, byteLevel(false)],
    }),
  ]) {
    await assert.rejects(read(tokenizer), {
      name: "MalformedInputError",
      message:
        /^m\/tokenizer\.json: the pre-tokenizer \[.*\] with ignore_merges (true|false) is not one that Lopsided knows in llama\.cpp \(gpt-2, starcoder, .*\); convert this model with llama\.cpp's convert_hf_to_gguf\.py\.$/,
    });
  }
});

const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
const text = (id: string) => ({ Sequence: { id, type_id: 0 } });
const idsOf = (metadata: Metadata) =>
  Object.fromEntries(
    Object.entries(values(metadata, "tokenizer.ggml.")).filter(([key]) => /_id$|^add_/.test(key)),
  );

test("roles come from tokenizer_config.json first, then from config.json", async () => {
  const tokenizer = added(
    { id: 3, content: "<|end|>", special: true },
    { id: 4, content: "<|start|>", special: true },
  );
  const tokenizerConfig = { eos_token: { content: "<|end|>" }, pad_token: "missing", add_bos_token: false };
  const config = { bos_token_id: 4, eos_token_id: 4, pad_token_id: [3, 4], unk_token_id: null };
  assert.deepEqual(idsOf(await read(tokenizer, { "tokenizer_config.json": tokenizerConfig }, 6, config)), {
    eos_token_id: 3,
    bos_token_id: 4,
    add_bos_token: false,
  });
});

test("the post-processor's template tells which tokens are added", async () => {
  const tokens = [
    { id: 3, content: "<|end|>", special: true },
    { id: 4, content: "<|start|>", special: true },
    { id: 5, content: "<|turn|>", special: true },
  ];
  const template = (single: readonly object[], pair: readonly object[]) => ({
    ...added(...tokens),
    post_processor: { type: "Sequence", processors: [{ type: "TemplateProcessing", single, pair }] },
  });
  const config = { "tokenizer_config.json": { eos_token: "<|turn|>" } };
  const start = special("<|start|>");
  const end = special("<|end|>");
  assert.deepEqual(
    idsOf(await read(template([start, text("A")], [start, text("A"), start, text("B")]), config)),
    { bos_token_id: 4, eos_token_id: 5, add_bos_token: true, add_sep_token: false },
  );
  assert.deepEqual(idsOf(await read(template([text("A"), end], [text("A"), end, text("B"), end]), config)), {
    eos_token_id: 3,
    eot_token_id: 5,
    add_eos_token: true,
    add_sep_token: false,
  });
  assert.deepEqual(idsOf(await read(template([text("A")], [text("A"), text("B")]), config)), {
    eos_token_id: 5,
  });
});

test("a chat template is found in each of its places, tokenizer_config.json first", async () => {
  const inConfig = { "tokenizer_config.json": { chat_template: "config" } };
  const jinja = { "chat_template.jinja": "line\r\nline" };
  const json = { "chat_template.json": { chat_template: "json" } };
  const template = async (files: Files) =>
    metadataString(await read(tinyTokenizer, files), "tokenizer.chat_template");
  assert.equal(await template({ ...inConfig, ...jinja, ...json }), "config");
  assert.equal(await template({ "tokenizer_config.json": {}, ...jinja, ...json }), "line\nline");
  assert.equal(await template(json), "json");
  assert.equal(await template({}), undefined);
});

test("named chat templates get a key each and are listed", async () => {
  const list = [
    { name: "default", template: "D" },
    { name: "tool use", template: "T" },
  ];
  const expected = { s: ["tool_use"], ".tool_use": "T", "": "D" };
  const inConfig = await read(tinyTokenizer, { "tokenizer_config.json": { chat_template: list } });
  assert.deepEqual(values(inConfig, "tokenizer.chat_template"), expected);
  const inFiles = await read(tinyTokenizer, {
    "chat_template.jinja": "D",
    "additional_chat_templates/tool use.jinja": "T",
    "additional_chat_templates/notes.txt": "N",
  });
  assert.deepEqual(values(inFiles, "tokenizer.chat_template"), expected);
});
