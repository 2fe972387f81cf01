/**
 * Vocabularies of SentencePiece: `tokenizer.model`, a protocol buffer whose first field repeats the pieces (1 text,
 * 2 score, 3 kind) and whose second is the trainer's description (field 3: 1 for Unigram, 2 for BPE),
 * and whose third is the normalizer's.
 * Format: https://github.com/google/sentencepiece/blob/master/src/sentencepiece_model.proto
 */
import type { ByteSource } from "../../../bytes/source.js";
import { MalformedInputError } from "../../../errors.js";

/** Largest file read. Those of 256 000 pieces have some five megabytes. */
const maxModelBytes = 67_108_864;

/** Most pieces read; a piece takes two bytes of a file at least, and some hundred of memory. */
const mostPieces = 2 ** 20;

/** One piece of a vocabulary; its kind is numbered as llama.cpp's token types are. */
export interface SentencePiece {
  readonly text: string;
  readonly score: number;
  readonly kind: number;
}

export interface SentencePieceModel {
  /** By id. */
  readonly pieces: readonly SentencePiece[];
  readonly algorithm: "unigram" | "bpe";
  readonly normalizer: Normalizer;
}

/** What is done to a text before it is cut; Unigram vocabularies need all of it. */
export interface Normalizer {
  readonly addsSpacePrefix: boolean;
  readonly removesExtraSpaces: boolean;
  /** A compiled table of replacements. */
  readonly replacements: Uint8Array;
}

/** Kinds of pieces: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte. */
const lastKind = 6;

/** Reads a `tokenizer.model`. Throws a MalformedInputError that says where it is damaged. */
export async function readSentencePieceModel(source: ByteSource): Promise<SentencePieceModel> {
  if (source.byteLength > maxModelBytes) {
    throw new MalformedInputError(
      `${source.name}: has ${source.byteLength} bytes, more than the ${maxModelBytes} that a tokenizer can sensibly have; check that it is the right file.`,
      { file: source.name },
    );
  }
  const message = new Message(source.name, await source.read(0, source.byteLength));
  const pieces: SentencePiece[] = [];
  let algorithm: SentencePieceModel["algorithm"] = "unigram";
  let normalizer: Normalizer = {
    addsSpacePrefix: true,
    removesExtraSpaces: true,
    replacements: new Uint8Array(),
  };
  for (const { field, value } of message.fields()) {
    if (field === 1 && value instanceof Uint8Array) {
      if (pieces.length === mostPieces) {
        throw new MalformedInputError(
          `${source.name}: has more than ${mostPieces} pieces, which no tokenizer has; download it again.`,
          { file: source.name },
        );
      }
      pieces.push(readPiece(new Message(source.name, value)));
    } else if (field === 2 && value instanceof Uint8Array) {
      for (const one of new Message(source.name, value).fields()) {
        algorithm = one.field === 3 && one.value === 2 ? "bpe" : algorithm;
      }
    } else if (field === 3 && value instanceof Uint8Array) {
      normalizer = readNormalizer(normalizer, new Message(source.name, value));
    }
  }
  if (pieces.length === 0) {
    throw new MalformedInputError(`${source.name}: has no pieces; this is not a SentencePiece model.`, {
      file: source.name,
    });
  }
  return { pieces, algorithm, normalizer };
}

function readNormalizer(usual: Normalizer, message: Message): Normalizer {
  let normalizer = usual;
  for (const { field, value } of message.fields()) {
    if (field === 2 && value instanceof Uint8Array) {
      normalizer = { ...normalizer, replacements: value };
    } else if (field === 3) {
      normalizer = { ...normalizer, addsSpacePrefix: value !== 0 };
    } else if (field === 4) {
      normalizer = { ...normalizer, removesExtraSpaces: value !== 0 };
    }
  }
  return normalizer;
}

function readPiece(message: Message): SentencePiece {
  let [text, score, kind] = ["", 0, 1];
  for (const { field, value } of message.fields()) {
    if (field === 1 && value instanceof Uint8Array) {
      text = message.text(value);
    } else if (field === 2 && value instanceof DataView) {
      score = value.getFloat32(0, true);
    } else if (field === 3 && typeof value === "number" && value >= 1 && value <= lastKind) {
      kind = value;
    }
  }
  return { text, score, kind };
}

interface Field {
  readonly field: number;
  /** A number for a varint, bytes for what has a length, a view of four bytes for a fixed32. */
  readonly value: number | Uint8Array | DataView | undefined;
}

/** A protocol buffer message, read field by field. */
class Message {
  readonly #name: string;
  readonly #bytes: Uint8Array;

  constructor(name: string, bytes: Uint8Array) {
    this.#name = name;
    this.#bytes = bytes;
  }

  *fields(): Generator<Field> {
    for (let at = 0; at < this.#bytes.length; ) {
      const [tag, afterTag] = this.#varint(at);
      const field = Math.floor(tag / 8);
      const wire = tag % 8;
      if (wire === 0) {
        const [value, end] = this.#varint(afterTag);
        at = end;
        yield { field, value };
        continue;
      }
      const [length, start] =
        wire === 2 ? this.#varint(afterTag) : [wire === 5 ? 4 : wire === 1 ? 8 : Number.NaN, afterTag];
      at = start + length;
      if (!(at <= this.#bytes.length)) {
        this.#fail(start);
      }
      const value = this.#bytes.subarray(start, at);
      const fixed = wire === 5 ? new DataView(value.buffer, value.byteOffset, 4) : undefined;
      yield { field, value: wire === 2 ? value : fixed };
    }
  }

  /** Decodes UTF-8. */
  text(bytes: Uint8Array): string {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch {
      return this.#fail(0);
    }
  }

  #varint(start: number): readonly [value: number, end: number] {
    let value = 0;
    for (let at = start; at < start + 10; at++) {
      const byte = this.#bytes[at];
      if (byte === undefined) {
        break;
      }
      value += (byte & 127) * 2 ** (7 * (at - start));
      if (byte < 128) {
        return [value, at + 1];
      }
    }
    return this.#fail(start);
  }

  #fail(at: number): never {
    throw new MalformedInputError(
      `${this.#name}: is no protocol buffer at byte ${at} of a part of ${this.#bytes.length} bytes; download it again.`,
      { file: this.#name, offset: at },
    );
  }
}
