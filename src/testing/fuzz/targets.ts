/** What is fuzzed: for each reader of files from strangers, sound files and how one is read. */
import { readFileSync } from "node:fs";
import { crc32 } from "node:zlib";
import type fc from "fast-check";
import { readJson, readJsonText } from "../../bytes/json.js";
import type { ByteSource } from "../../bytes/source.js";
import { MalformedInputError } from "../../errors.js";
import { readGgufHeader } from "../../gguf/reader.js";
import { datParts } from "../../imatrix/dat.js";
import { readImatrix } from "../../imatrix/file.js";
import { ggufParts } from "../../imatrix/gguf.js";
import type { Imatrix } from "../../imatrix/imatrix.js";
import { KeptFile } from "../../kept/file.js";
import { layoutOf, noRun } from "../../kept/format.js";
import { openHuggingFaceModel } from "../../model/huggingface/open.js";
import { readSentencePieceModel } from "../../model/huggingface/tokenizer/sentencepiece.js";
import { tiktokenVocabulary } from "../../model/huggingface/tokenizer/tiktoken.js";
import { MomentsFile } from "../../moments/file.js";
import { parseRecipe } from "../../recipe/recipe.js";
import { readSafetensorsHeader } from "../../safetensors/header.js";
import { readJournalRecords, readJournalStart } from "../../write/journal.js";
import { ggufBytes, plainMetadata } from "../gguf-file.js";
import { everyFlatValue, nestedValues, someTensors } from "../gguf-samples.js";
import { tinyConfig, tinyTensors, tinyTokenizer } from "../hugging-face-model.js";
import { type Files, MemoryFolder } from "../memory-folder.js";
import { safetensorsBytes } from "../safetensors-file.js";
import { mutated } from "./mutate.js";

export interface FuzzTarget {
  readonly inputs: readonly fc.Arbitrary<Uint8Array>[];
  /** Reads a file to the end; throws one of our errors if it cannot be read. */
  readonly read: (source: ByteSource) => Promise<void>;
}

const jsonWords = [
  "{",
  "}",
  "[",
  "]",
  '"',
  ":",
  ",",
  "null",
  "true",
  "1e999",
  "-0",
  "\\u0000",
  "\\ud800",
  '"a":',
];
const yamlWords = [
  "*a",
  "&a ",
  "<<: ",
  "? ",
  "!!binary ",
  "!!set ",
  "---\n",
  "...\n",
  "|\n",
  ">\n",
  "%YAML 9.9\n",
];
const moreYaml = [
  "&a [*a, *a]",
  "__proto__: 1\n",
  "\n  - ",
  "{",
  "[",
  '"',
  "'",
  "\t",
  ": ",
  "#",
  "role: ",
  "type: Q9",
];
const regexWords = ["(a+)+$", "(?<=", "\\1", "[", "{1,99999999}", "\\p{L}"];

const imatrix: Imatrix = {
  name: "fuzz",
  format: "gguf",
  entries: new Map([
    ["blk.0.ffn_up.weight", { sums: Float32Array.of(1, 2, 3, 4), counts: Float64Array.of(5) }],
    [
      "blk.0.ffn_up_exps.weight",
      { sums: Float32Array.of(1, 2, 3, 4, 5, 6), counts: Float64Array.of(7, 0, 9) },
    ],
  ]),
  datasets: ["text.txt"],
  chunkCount: 3,
  chunkSize: 512,
  priorWeight: undefined,
};

const moments = ggufBytes({
  metadata: plainMetadata({
    "general.type": "moments",
    "moments.datasets": ["text.txt"],
    "moments.chunk_count": 2,
    "moments.chunk_size": 512,
  }),
  tensors: [
    { name: "blk.0.ffn_up.moments", shape: [6, 2], type: "F32" },
    { name: "blk.0.ffn_up.counts", shape: [1, 2], type: "F32" },
  ],
});

const activations = keptBytes();

const smallGguf = ggufBytes({
  metadata: plainMetadata({ "general.name": "small", words: ["a", "bc"], numbers: [1, 2] }),
  tensors: [
    { name: "a", shape: [32, 2], type: "Q8_0" },
    { name: "b", shape: [5], type: "F32" },
  ],
});
const richGguf = ggufBytes({
  metadata: new Map([...everyFlatValue, ...nestedValues]),
  tensors: someTensors,
});

const journalStart = JSON.stringify({ fingerprint: { source: "ab", recipe: "cd" }, slices: 5 });
const modelFiles: Files = {
  "config.json": tinyConfig,
  "tokenizer.json": tinyTokenizer,
  "tokenizer_config.json": {
    chat_template: [{ name: "default", template: "x" }],
    eos_token: "<|end|>",
    add_bos_token: false,
  },
  "generation_config.json": { eos_token_id: [3] },
  "model.safetensors": safetensorsBytes(tinyTensors()),
};

/** Two pieces with text, score and kind; the trainer's part, which says BPE; the normalizer's. */
const sentencePieceModel = Uint8Array.of(
  ...[10, 11, 10, 2, 0xc3, 0xa9, 21, 0, 0, 0x80, 0xbf, 24, 1],
  ...[10, 10, 10, 1, 97, 21, 0, 0, 0, 0, 24, 6],
  ...[18, 2, 24, 2],
  ...[26, 5, 18, 1, 7, 24, 0],
);

export const fuzzTargets: ReadonlyMap<string, FuzzTarget> = new Map<string, FuzzTarget>([
  [
    "gguf",
    {
      inputs: [mutated(smallGguf, { reach: 300 }), mutated(richGguf, { reach: 1600 })],
      read: async (source) => void (await readGgufHeader(source)),
    },
  ],
  [
    "safetensors",
    {
      inputs: [mutated(safetensorsBytes(tinyTensors()), { reach: 3000, dictionary: jsonWords })],
      read: async (source) => void (await readSafetensorsHeader(source)),
    },
  ],
  [
    "imatrix",
    {
      inputs: [
        mutated(Buffer.concat([...datParts(imatrix)])),
        mutated(Buffer.concat([...ggufParts(imatrix)])),
      ],
      read: async (source) => void (await readImatrix(source)),
    },
  ],
  ["moments", { inputs: [mutated(moments)], read: async (source) => void (await MomentsFile.read(source)) }],
  ["activations", { inputs: [mutated(activations)], read: readActivations }],
  [
    "journal",
    {
      inputs: [
        mutated(journal(journalStart)),
        // With a checksum that fits, so that what comes behind it is reached.
        mutated(Buffer.from(journalStart), { dictionary: [...jsonWords, '"__proto__":"x",'] }).map((json) =>
          journal(Buffer.from(json).toString("latin1")),
        ),
      ],
      read: readJournal,
    },
  ],
  [
    "json",
    {
      inputs: [mutated(Buffer.from(JSON.stringify(tinyTokenizer)), { dictionary: jsonWords })],
      read: readJsonAndCompare,
    },
  ],
  [
    "recipe",
    {
      inputs: ["asym-2bit-experts", "antirez-q2"].map((name) =>
        mutated(readFileSync(new URL(`../../../recipes/${name}.yaml`, import.meta.url)), {
          dictionary: [...yamlWords, ...moreYaml, ...regexWords],
        }),
      ),
      read: async (source) => void parseRecipe(await readJsonText(source, 1 << 20), source.name),
    },
  ],
  [
    "tokenizer.model",
    {
      inputs: [mutated(sentencePieceModel)],
      read: async (source) => void (await readSentencePieceModel(source)),
    },
  ],
  [
    "tiktoken.model",
    {
      inputs: [
        mutated(Buffer.from("YQ== 0\nYg== 1\nYWI= 2\nYWJh 3\n"), {
          dictionary: ["YWJhYg== 4\n", "=", " ", "\r"],
        }),
      ],
      read: async (source) =>
        void tiktokenVocabulary(source.name, await readJsonText(source, 1 << 20), undefined, 16),
    },
  ],
  ...Object.entries(modelFiles)
    .filter(([file]) => file.endsWith(".json"))
    .map(([file, content]): [string, FuzzTarget] => [
      file,
      {
        inputs: [mutated(Buffer.from(JSON.stringify(content)), { dictionary: jsonWords })],
        read: (source) => openModelWith(file, source),
      },
    ]),
]);

function journal(start: string): Uint8Array {
  const json = Buffer.from(start, "latin1");
  const lengths = Buffer.alloc(8);
  lengths.writeUInt32LE(json.byteLength, 0);
  lengths.writeUInt32LE(crc32(json), 4);
  const records = [0, 1, 2].map((number) => {
    const record = Buffer.alloc(52, number);
    record.writeUInt32LE(crc32(record.subarray(4), number), 0);
    return record;
  });
  return Buffer.concat([Buffer.from("LOPSIDED JOURNAL 2\n"), lengths, json, ...records]);
}

/** A journal without a sound start says nothing: that is how it is refused. */
async function readJournal(source: ByteSource): Promise<void> {
  const found = await readJournalStart(source);
  if (!found) {
    throw new MalformedInputError(`${source.name}: is no journal.`);
  }
  const records = readJournalRecords(source, found.recordsOffset, found.start.slices);
  for await (const { statistics } of records) {
    if (Number.isNaN(statistics.weights)) {
      return;
    }
  }
}

/** Kept activations of three tokens; all zero but the scales of the columns. */
function keptBytes(): Uint8Array {
  const input = { name: "in", layer: 0, weight: "", down: "", columns: 8, experts: 4, slots: 2 };
  const facts = { bits: 8, datasets: ["text.txt"], chunkCount: 1, chunkSize: 3 } as const;
  const { header, tensors, byteLength } = layoutOf([input], facts, noRun);
  const bytes = new Uint8Array(byteLength);
  bytes.set(header);
  for (const { offset, byteLength } of tensors.filter(({ name }) => name === "in.channels")) {
    bytes.fill(0x3f, offset, offset + byteLength);
  }
  return bytes;
}

async function readActivations(source: ByteSource): Promise<void> {
  const file = await KeptFile.read(source);
  for (const input of file.inputs.keys()) {
    await file.load(input);
  }
}

/** What we accept, JSON.parse accepts too. */
async function readJsonAndCompare(source: ByteSource): Promise<void> {
  await readJson(source, 1 << 20);
  JSON.parse(await readJsonText(source, 1 << 20));
}

/** Opens a model of which one file is the given one. */
async function openModelWith(file: string, source: ByteSource): Promise<void> {
  const bytes = await source.read(0, source.byteLength);
  const model = await openHuggingFaceModel(new MemoryFolder("folder", { ...modelFiles, [file]: bytes }));
  await model.close();
}
